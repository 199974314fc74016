"""Scores of images that were made elsewhere."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gan.data import to_uint8, to_unit
from lit_gan.data.digits import Digits
from lit_gan.errors import UserError
from lit_gan.metrics import EvalProtocol, FeatureMetrics
from lit_gan.metrics.classifier import Classifier
from lit_gan.metrics.given import GivenImages

DATA = ("data=digits", "data.image_size=16", "protocols=quick", "protocol.quick.real=200")


@pytest.fixture(scope="module")
def pixels():
    """120 images [n, channels, height, width] that are all different."""
    return torch.randint(256, (120, 1, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def folder(pixels, tmp_path):
    """The images as PNG files in three subfolders, in the order of their names."""
    for number, image in enumerate(pixels):
        path = tmp_path / "images" / str(number // 40) / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


@pytest.fixture
def arrays(pixels, tmp_path):
    """The images in each form that a file of NumPy may have."""
    last = pixels.permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "last.npy", last)
    np.save(tmp_path / "first.npy", pixels.repeat(1, 3, 1, 1).numpy())
    np.savez(tmp_path / "labelled.npz", arr_0=last, arr_1=np.zeros(120, int))
    return [tmp_path / name for name in ("last.npy", "first.npy", "labelled.npz")]


@pytest.fixture
def run(monkeypatch, capsys):
    """Calls the command, and returns what it prints."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["score", *map(str, arguments)])
        from lit_gan.score import main

        main()
        return capsys.readouterr().out

    return call


def test_the_stream_is_the_same_in_every_form(pixels, folder, arrays):
    first = [to_uint8(GivenImages(place, (1, 16, 16))(50)) for place in (folder, *arrays)]
    assert all(torch.equal(each, first[0]) for each in first)
    assert not torch.equal(first[0], pixels[:50]), "in no random order"


def test_the_stream_has_each_image_once(pixels, folder):
    stream = GivenImages(folder, (1, 16, 16))
    seen = torch.cat([to_uint8(stream(n)) for n in (50, 30, 40)])
    assert sorted(map(bytes, seen.flatten(1).numpy())) == sorted(map(bytes, pixels.flatten(1).numpy()))
    with pytest.raises(UserError, match=r"images: 121 are asked for, and there are 120: .* wanted\(protocol\)"):
        stream(1)
    assert torch.equal(to_uint8(stream.restart()(50)), seen[:50])
    stream.restart().skip(50)
    assert torch.equal(to_uint8(stream(30)), seen[50:80])


def test_grey_images_are_taken_for_coloured_ones(pixels, folder):
    images = GivenImages(folder, (3, 16, 16))(8)
    assert images.shape == (8, 3, 16, 16)
    assert (images == images[:, :1]).all()


def test_the_scores_are_those_of_a_generator_that_makes_these_images(pixels, folder, compose):
    config = compose("data=digits", "data.image_size=16").data
    source = Digits(**{name: config[name] for name in config if name != "_target_"})
    settings = {**compose().protocol.quick, "real": 200, "generated": 100, "inception_score": 100}
    protocol, suite = EvalProtocol(**settings), FeatureMetrics(Classifier())
    given = GivenImages(folder, source.shape)

    class Generated:
        passed = 0

        def __call__(self, n):
            self.passed += n
            return to_unit(pixels[given.order[self.passed - n : self.passed]])

    scores = suite.evaluate(given, source, protocol)
    assert scores == suite.evaluate(Generated(), source, protocol)
    assert scores["digits/fid"] > 100


def test_real_images_score_better_than_noise(run, folder, tmp_path, compose):
    config = compose("data=digits", "data.image_size=16").data
    real = Digits(**{name: config[name] for name in config if name != "_target_"}).split("train").images
    np.save(tmp_path / "real.npy", real.permute(0, 2, 3, 1).numpy()[:120])
    for place in (tmp_path / "real.npy", folder):
        run(f"images={place}", *DATA, "generated=120", f"output={tmp_path / 'scores.json'}")
    good, bad = json.loads((tmp_path / "scores.json").read_text())
    assert good["scores"]["digits/fid"] < 0.2 * bad["scores"]["digits/fid"]
    assert [good["scored"], good["given"]["number"], good["protocol"]["real"]] == [120, 120, 200]
    assert good["given"]["fingerprint"] != bad["given"]["fingerprint"]
    assert good["protocol"] == bad["protocol"]
    assert {"ema", "batch_norm", "truncation"}.isdisjoint(good["protocol"])


def test_what_was_scored_is_printed_with_the_reasons_of_stars(run, folder):
    printed = run(f"images={folder}", *DATA, "generated=60")
    assert f"60 of 120 images in {folder}, digits, protocol quick:" in printed
    assert "60 generated images are too few for" in printed


def test_several_protocols_score_the_same_images(run, folder, tmp_path):
    output = tmp_path / "scores.json"
    settings = ("protocols=[quick,full]", "generated=100", "protocol.full.real=200", f"output={output}")
    run(f"images={folder}", *DATA, *settings)
    quick, full = json.loads(output.read_text())
    assert [each["protocol"]["name"] for each in (quick, full)] == ["quick", "full"]
    assert quick["scores"]["digits/fid"] == full["scores"]["digits/fid"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=digits"], ["images=FOLDER is missing"]),
        (["images={images}"], ["data=NAME is missing"]),
        (["images={images}/none", "data=digits"], ["images=", "is not there"]),
        (["images={images}", "data=digits"], ["16x16 pixels", "32x32", "data.image_size=N"]),
        (["images={images}", *DATA], ["holds too few, 120", "protocol quick scores 1000", "generated=120"]),
        (["images={images}", *DATA, "generated=1"], ["generated=1 must be"]),
        (["images={images}", *DATA, "metrics=none"], ["metrics=none", "nothing to score"]),
        (["images={images}", "data=gaussians"], ["data=gaussians has no images"]),
        (["images={images}", "data=text"], ["data=text has no images"]),
        (["images={images}", *DATA, "generated=100", "output=scores"], ["output=scores must be a file", ".json"]),
        (["images={images}", *DATA, "generated=100", "output={other}"], ["other.json holds something else"]),
        (["images={empty}", *DATA], ["has no readable images", "1 .txt"]),
        (["images={text}", *DATA], ["cannot be read", ".npy"]),
        (["images={floats}", *DATA], ["float64", "must be uint8"]),
        (["images={two}", *DATA], ["must hold one array of images", "a uint8[4, 16, 16]", "b uint8[4, 16, 16]"]),
        (["images={broken}", *DATA], ["broken/0.png is not a readable image", "remove it"]),
        (["images={zip}", *DATA], ["must hold one array of images", "has none"]),
        (["images={none}", *DATA], ["must hold one array of images", "array uint8[0, 16, 16]"]),
        (["images={objects}", *DATA], ["cannot be read (it holds no plain numbers)"]),
        (["images=[a,b]", *DATA], ["images=[a,b] must be one folder or file", "--multirun"]),
        (["images={sampled}", *DATA], ["is what lit_gan.sample writes", "sampled/images"]),
        (["images={images}", *DATA, "protocols=test_10k"], ["protocols=test_10k needs the split 'test'", "train"]),
        (["images={images}", *DATA, "generated=100", "output={numbers}"], ["numbers.json holds something else"]),
        (["images={images}", *DATA, "generated=100", "output={other}/a.json"], ["other.json/a.json cannot be written"]),
        (
            ["images={images}/1", "data=image_folder", "data.root={images}", "generated=40", "metrics=classifier"],
            ["1/040.png is one of the images of data=image_folder as well", "lie apart"],
        ),
        (["{images}"], ["write images="]),
    ],
)
def test_is_refused(run, folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for name in ("empty/a.txt", "text.npy", "broken/0.png"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "other.json").write_text("{}")
    np.save(tmp_path / "floats.npy", np.zeros((4, 16, 16)))
    np.savez(tmp_path / "two.npz", **dict.fromkeys("ab", np.zeros((4, 16, 16), np.uint8)))
    np.save(tmp_path / "none.npy", np.zeros((0, 16, 16), np.uint8))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "numbers.json").write_text("[1, 2]")
    shutil.make_archive(str(tmp_path / "zip"), "zip", folder)
    (tmp_path / "sampled" / "images").mkdir(parents=True)
    Image.new("L", (60, 60)).save(tmp_path / "sampled" / "grid.png")
    files = {"text": "text.npy", "floats": "floats.npy", "two": "two.npz", "other": "other.json", "zip": "zip.zip"}
    files |= {"none": "none.npy", "objects": "objects.npy", "numbers": "numbers.json"}
    places = {name: tmp_path / files.get(name, name) for name in ("images", "empty", "broken", "sampled", *files)}
    with pytest.raises(SystemExit) as refused:
        run(*(argument.format(**places) for argument in arguments))
    assert all(word in str(refused.value.code) for word in words), refused.value.code
    assert (tmp_path / "other.json").read_text() == "{}"
