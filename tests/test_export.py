"""What `lit_gan.export` writes: weights that come back, a card that says what was measured, and sentences."""

import json
import re
import shutil
import sys

import pytest
import torch
import yaml

import lit_gan
from commands import command
from lit_gan.exporting import formats
from lit_gan.exporting.card import scored, title
from lit_gan.exporting.description import describe, described
from lit_gan.exporting.folder import check_place, read_weights, write_folder
from lit_gan.exporting.usage import draw_code
from lit_gan.game import Generator, LatentPart, Normal, Uniform
from lit_gan.reg.codes import OneHot
from lit_gan.tasks.export import export
from lit_gan.tasks.train import train

pytest.importorskip("safetensors")
pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "updates=4", "ema=0.5"]
TINY += ["updates_per_epoch=2", "protocol.quick.generated=32", "metrics.final=quick", "protocol.quick.real=64"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose players look at labels."""
    directory = tmp_path_factory.mktemp("trained")
    command(train, *TINY, "labels=cgan", f"hydra.run.dir={directory}")
    return directory


@pytest.fixture
def exported(run, tmp_path):
    """The folder of an export: exported("ema=false")."""

    def make(*arguments, folder=tmp_path / "out"):
        command(export, f"run={run}", f"output={folder}", "format=safetensors", *arguments)
        return folder

    return make


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """The folder of an export that nobody changes."""
    folder = tmp_path_factory.mktemp("exported")
    command(export, f"run={run}", f"output={folder}", "format=safetensors")
    return folder


@pytest.fixture
def refused(exported):
    """The sentence with which an export is refused."""

    def refusal(*arguments):
        with pytest.raises(SystemExit) as end:
            exported(*arguments)
        sentence = str(end.value.code)
        assert sentence.startswith("lit_gan: ")
        return sentence

    return refusal


class TestWeights:
    def test_come_back_bit_for_bit(self, run, folder):
        G, again = lit_gan.load(run), lit_gan.load(str(folder))
        assert torch.equal(again.sample(5, seed=3), G.sample(5, seed=3))
        assert torch.equal(again.sample(2, label=7), G.sample(2, label=7))
        assert (again.update, again.class_names, again.training) == (4, None, False)

    def test_are_the_moving_average_unless_others_are_asked_for(self, run, exported):
        raw = exported("ema=false")
        assert "These weights have not been scored." in (raw / "README.md").read_text()
        assert torch.equal(lit_gan.load(raw).sample(2), lit_gan.load(run, ema=False).sample(2))
        assert not torch.equal(lit_gan.load(raw).sample(2), lit_gan.load(run).sample(2))
        assert json.loads((raw / "config.json").read_text())["weights"] == "raw"

    def test_are_those_of_the_checkpoint(self, run, exported):
        best = lit_gan.load(exported("checkpoint=best"), checkpoint="best")
        assert best.update == lit_gan.load(run, checkpoint="best").update

    def test_say_what_their_latent_vectors_are(self, folder):
        from safetensors import safe_open

        with safe_open(folder / "model.safetensors", "pt") as file:
            said = file.metadata()
        assert json.loads(said["latents"]) == [
            {"prior": "normal", "size": 100, "numpy": "rng.standard_normal((n, 100))"}
        ]
        assert (said["z_dim"], said["n_classes"], said["range"]) == ("100", "10", "[-1, 1]")
        assert (said["format"], said["weights"], said["update"]) == ("pt", "ema", "4")

    def test_nothing_of_this_machine_leaves_it(self, run, folder):
        texts = [(folder / name).read_text() for name in ("README.md", "config.json")]
        assert not [text for text in texts if str(run.parent) in text or sys.prefix in text]

    def test_other_weights_than_an_export_holds_are_refused(self, folder):
        with pytest.raises(lit_gan.UserError, match="is an export of the ema weights of checkpoint=last"):
            lit_gan.load(folder, ema=False)
        with pytest.raises(lit_gan.UserError, match="leave checkpoint and ema out"):
            lit_gan.load(folder, checkpoint="best")

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
    def test_a_damaged_file_is_named(self, folder, tmp_path, name):
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / name).write_bytes((copy / name).read_bytes()[:-9])
        with pytest.raises(lit_gan.UserError, match=rf"{name} is damaged .*: export the run again\."):
            lit_gan.load(copy)

    def test_a_config_that_refers_to_something_is_damaged(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "copy")
        config = copy / "config.json"
        config.write_text(config.read_text().replace('"lit_gan.models.dcgan.Generator"', '"${oc.env:HOME}"'))
        with pytest.raises(lit_gan.UserError, match="it refers to other settings"):
            lit_gan.load(copy)


class TestFolder:
    def test_another_format_takes_the_place_of_the_first(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / "mine.txt").touch()
        write_folder(copy, {"README.md": b"new", "config.json": b'{"library_name": "lit_gan"}', "model.pt2": b""})
        assert {path.name for path in copy.iterdir()} == {"README.md", "config.json", "model.pt2", "mine.txt"}
        with pytest.raises(lit_gan.UserError, match=r"model\.safetensors is missing: .*format=safetensors"):
            read_weights(copy / "model.safetensors")

    def test_a_folder_with_somebody_elses_card_is_refused(self, refused, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "README.md").write_text("mine")
        assert "holds a README.md that no export has written" in refused()
        assert (tmp_path / "out" / "README.md").read_text() == "mine"

    def test_an_export_may_be_written_over(self, folder):
        check_place(folder)

    def test_what_cannot_be_written_leaves_the_old_export(self, folder, monkeypatch):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        monkeypatch.setattr("lit_gan.records.files.flush", failing_at("model.onnx"))
        with pytest.raises(lit_gan.UserError, match=r"model\.onnx cannot be written"):
            write_folder(folder, {"config.json": b"{}", "model.onnx": b"new"})
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def failing_at(name):
    """A disk that is full when a file of this name is to be on it."""

    def flush(path):
        if name in path.name:
            raise OSError(28, "No space left on device")

    return flush


class TestRefusals:
    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ("format=onyx", "format=onyx does not exist; did you mean 'onnx'? There are: safetensors, onnx, torch."),
            ("format=[]", "format=[] writes nothing: name at least one of safetensors, onnx, torch."),
            ("license=The_Best", "license=The_Best is no name of a licence"),
            ("checkpoint=first", "the checkpoints of this run: best, last"),
            ("private=maybe", "private=maybe must be true or false"),
            ("ema=3", "ema=3 must be true or false"),
            ("data.root=/tmp", "data.root=/tmp is no setting of data=digits"),
        ],
    )
    def test_a_setting(self, refused, argument, words):
        assert words in refused(argument)

    @pytest.mark.parametrize(
        ("package", "arguments", "sentence"),
        [
            ("safetensors", [], "format=safetensors needs safetensors: pip install 'lit_gan[export]'"),
            ("onnxruntime", ["format=[torch,onnx]"], "format=onnx needs onnxruntime: pip install 'lit_gan[export]'"),
            ("huggingface_hub", ["hub=me/x"], "hub=me/x needs huggingface_hub: pip install 'lit_gan[hub]'."),
        ],
    )
    def test_a_missing_package(self, refused, monkeypatch, tmp_path, package, arguments, sentence):
        monkeypatch.setattr("lit_gan.exporting.formats.NEEDED", {**formats.NEEDED, "onnx": ["onnxruntime"]})
        monkeypatch.setitem(sys.modules, package, None)
        assert sentence in refused(*arguments)
        assert not (tmp_path / "out").exists()

    def test_a_missing_package_of_a_reader(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "safetensors", None)
        with pytest.raises(lit_gan.UserError, match=r"model\.safetensors needs safetensors: pip install"):
            lit_gan.load(folder)
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(lit_gan.UserError, match=r"hub:me/x needs huggingface_hub: pip install 'lit_gan\[hub\]'"):
            lit_gan.load("hub:me/x")

    def test_a_program_that_makes_other_samples(self, affine_g):
        G = affine_g()
        formats.check_same(G, "onnx", lambda z: G(z) + 0.9e-4)
        with pytest.raises(lit_gan.UserError, match=r"format=onnx makes a program whose samples are up to 0\.001"):
            formats.check_same(G, "onnx", lambda z: G(z) + 1e-3)

    def test_a_generator_that_cannot_be_traced(self):
        class Odd(Generator):
            def __init__(self):
                super().__init__((2,), 2)
                self.w = torch.nn.Parameter(torch.ones(()))

            def forward(self, z, y=None):
                return z * self.w if z.sum().item() > 0 else -z

        with pytest.raises(lit_gan.UserError, match=r"cannot trace this generator \(.*\): choose format=safetensors"):
            formats.write_formats(Odd().eval(), {}, ["torch"])

    def test_a_computation_that_onnx_does_not_have(self, monkeypatch):
        def fail(*_, **__):
            raise RuntimeError("No decomposition for aten.odd. And a page of advice")

        monkeypatch.setattr(torch.onnx, "export", fail)
        with pytest.raises(lit_gan.UserError, match=r"cannot express this generator \(No decomposition"):
            formats.onnx_model(None, ["z"])


class TestCard:
    def test_begins_as_the_hub_reads_it(self, folder):
        text = (folder / "README.md").read_text()
        head = yaml.safe_load(text.split("---\n")[1])
        assert head["library_name"] == "lit_gan"
        assert head["pipeline_tag"] == "unconditional-image-generation"
        assert head["tags"] == ["gan", "lit_gan"]
        assert "license" not in head
        assert "# license: " in text.split("---\n")[1]
        assert "None has been chosen yet" in text

    def test_a_licence_is_the_users(self, exported):
        text = (exported("license=cc-by-4.0") / "README.md").read_text()
        assert yaml.safe_load(text.split("---\n")[1])["license"] == "cc-by-4.0"
        assert "The weights are under `cc-by-4.0`." in text

    def test_has_the_scores_with_their_protocol(self, run, folder):
        text = (folder / "README.md").read_text()
        final = json.loads((run / "results.json").read_text())["final"]
        assert f"| {final['scores']['digits/fid']:.4g}\\* |" in text
        assert "digits, protocol `quick`:" in text
        assert f"generated 32; inception_score {final['protocol']['inception_score']};" in text
        assert f"fingerprint {final['protocol']['fingerprint']}" in text
        assert "\\* fid of protocol quick: 64 real and 32 generated images are too few" in text

    def test_shows_a_picture_that_is_there(self, folder):
        (name,) = re.findall(r"!\[samples\]\((.*)\)", (folder / "README.md").read_text())
        assert (folder / name).read_bytes().startswith(b"\x89PNG")

    def test_names_the_method_or_the_network(self):
        told = {"data": "digits"}
        assert title(told, {"choices": {"method": "wgan_gp", "model": "dcgan"}}) == "wgan_gp on digits"
        assert title(told, {"choices": {"method": None, "model": "dcgan"}}) == "dcgan on digits"
        assert title(told, {}) == "GAN on digits"

    def test_its_scores_are_those_of_these_weights_alone(self):
        def record(update, weights, protocol, fid):
            return {"update": update, "weights": weights, "scores": {"x/fid": fid}, "protocol": {"name": protocol}}

        results = {
            "course": [record(2, "ema", "quick", 1.0), record(4, "ema", "quick", 2.0), record(4, "raw", "quick", 3.0)],
            "final": record(4, "ema", "full", 4.0),
            "evaluations": [record(4, "ema", "quick", 5.0), record(2, "ema", "full", 6.0)],
        }
        assert [each["scores"]["x/fid"] for each in scored(results, 4, "ema")] == [5.0, 4.0]
        assert scored({"final": None}, 4, "ema") == []


class Shares(LatentPart):
    """A part of one's own: shares of a whole."""

    prior, in_numpy = "shares", "rng.dirichlet([1] * {size}, n)"

    def draw(self, n, device, generator):
        return torch.distributions.Dirichlet(torch.ones(self.size)).sample([n])


@pytest.mark.parametrize(
    ("latents", "n_classes"),
    [
        ([Normal(3)], None),
        ([Uniform(2)], 4),
        ([Normal(2), OneHot(3), Uniform(1)], None),
        ([Shares(3), Normal(1)], None),
    ],
)
def test_the_card_draws_as_the_generator_does(latents, n_classes):
    told = {"latents": list(map(described, latents)), "n_classes": n_classes}
    names = {}
    exec(draw_code(told).replace("n, rng = 16,", "n, rng = 4000,"), names)
    G = Generator((2,), 1)
    G.latents = latents
    G.weight = torch.nn.Parameter(torch.zeros(()))
    z, expected = torch.from_numpy(names["z"]), G.draw(4000)
    assert z.dtype == torch.float32
    assert z.shape == expected.shape
    torch.testing.assert_close(z.mean(0), expected.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(z.std(0), expected.std(0), atol=0.1, rtol=0)
    assert ("y" in names) == (n_classes is not None)
    if n_classes:
        assert set(names["y"].tolist()) == set(range(n_classes))


class Foggy(Normal):
    """A part that says nothing itself of how it is drawn."""


class Unknown:
    """A part that knows nothing of exports."""

    size = 2


@pytest.mark.parametrize("part", [Foggy(2), Unknown()])
def test_a_latent_variable_that_nobody_else_can_draw_is_refused(compose, part):
    config = compose("data=gaussians", "model.width=4")
    G = Generator((2,), 1)
    G.latents = [part]
    with pytest.raises(
        lit_gan.UserError, match=f"a part of class {type(part).__name__}, and an .* how others draw it: give"
    ):
        describe(G, config, [], type("Points", (), {"name": "points"})())
