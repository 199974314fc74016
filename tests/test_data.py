"""Data: the sampler's promises, scaling, decoding of odd files, and batches that go on exactly after a stop."""

import gzip
import os
import struct
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from lightning import Callback, LightningModule, Trainer
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from lit_gan.data.digits import Digits
from lit_gan.data.folder import ImageFolder
from lit_gan.data.gaussians import Gaussians, SwissRoll, grid, ring
from lit_gan.data.module import GANData
from lit_gan.data.packed import packed
from lit_gan.data.sampler import Batches, EndlessSampler
from lit_gan.data.scale import dequantize, to_uint8, to_unit
from lit_gan.data.source import DatasetPictures, ImageFiles, Source, StoredSplit, as_pixels
from lit_gan.data.torchvision_sets import IdxImages, TorchvisionSet, fashion_mnist, read_idx
from lit_gan.errors import UserError

CONF = Path(__file__).parents[1] / "conf" / "data"


# The sampler


@given(n=st.integers(1, 40), count=st.integers(1, 100), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_each_data_epoch_has_every_index_once_whatever_the_batch_size(n, count, seed, epoch):
    sampler = EndlessSampler(n, seed)
    positions = range(0, (epoch + 1) * n, count)
    drawn = torch.cat([sampler.take(position, count) for position in positions])
    assert sorted(drawn[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


@given(n=st.integers(1, 40), first=st.integers(0, 100), count=st.integers(1, 60), cut=st.integers(0, 60))
def test_order_is_a_function_of_seed_and_position(n, first, count, cut):
    whole = EndlessSampler(n, seed=1).take(0, first + count)
    assert torch.equal(EndlessSampler(n, seed=1).take(first, count), whole[first:])


@given(n=st.integers(1, 40), position=st.integers(0, 100), share=st.integers(1, 8), world_size=st.integers(1, 4))
def test_the_ranks_share_the_global_batch(n, position, share, world_size):
    count = share * world_size
    parts = [EndlessSampler(n, 3, rank, world_size).take(position, count) for rank in range(world_size)]
    assert {len(part) for part in parts} == {share}
    assert torch.equal(torch.stack(parts, 1).flatten(), EndlessSampler(n, 3).take(position, count))


def test_data_epochs_and_seeds_differ():
    sampler = EndlessSampler(100, seed=0)
    assert not torch.equal(sampler.take(0, 100), sampler.take(100, 100))
    assert not torch.equal(sampler.take(0, 100), EndlessSampler(100, seed=1).take(0, 100))
    assert not torch.equal(sampler.take(0, 100), torch.arange(100))


@given(few=st.integers(1, 40), more=st.integers(0, 10), others=st.integers(1, 10), seed=st.integers(0, 5))
def test_a_choice_of_images_is_the_same_in_each_data_epoch_and_lies_in_a_larger_one(few, more, others, seed):
    among = few + more + others
    samplers = [EndlessSampler(n, seed, among=among) for n in (few, few + more)]
    epochs = [sampler.take(0, 2 * sampler.n).view(2, -1).sort().values for sampler in samplers]
    assert all(torch.equal(first, second) and len(set(first.tolist())) == len(first) for first, second in epochs)
    assert set(epochs[0][0].tolist()) <= set(epochs[1][0].tolist()) < set(range(among))


def test_a_choice_of_images_depends_on_the_seed_and_all_images_are_no_choice():
    chosen = [set(EndlessSampler(30, seed, among=100).take(0, 30).tolist()) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert torch.equal(EndlessSampler(30, 0, among=30).take(7, 60), EndlessSampler(30, 0).take(7, 60))


def test_batches_start_where_the_position_stands():
    position = 0
    batches = Batches(EndlessSampler(10, seed=0), 4, lambda: position)
    before = iter(batches)
    stream = torch.cat([next(before) for _ in range(5)])
    position = 8
    assert torch.equal(next(iter(batches)), stream[8:12])


# Scaling


def test_to_unit_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    x = to_unit(pixels)
    assert (x[0], x[255], x.dtype) == (-1, 1, torch.float32)
    torch.testing.assert_close(x[51], torch.tensor(-0.6))
    assert torch.equal(to_uint8(x), pixels)


def test_to_uint8_rounds_and_clips():
    x = torch.tensor([-3.0, -1.0, 0.0, 0.0039, 0.0040, 1.0, 7.0])
    assert to_uint8(x).tolist() == [0, 0, 128, 128, 128, 255, 255]
    assert to_uint8((torch.tensor([10.4, 10.6]) - 127.5) / 127.5).tolist() == [10, 11]


def test_dequantize_adds_less_than_one_level():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(1000, 1)
    noise = (dequantize(pixels) - (pixels / 128 - 1)) * 128
    assert noise.min() >= -1e-4
    assert noise.max() <= 1 + 1e-4
    torch.testing.assert_close(noise.mean(), torch.tensor(0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(noise.var(), torch.tensor(1 / 12), atol=0.01, rtol=0)
    assert not torch.equal(dequantize(pixels), dequantize(pixels))


# One picture


def test_an_image_of_the_right_size_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(as_pixels(Image.fromarray(pixels), 3, 8).permute(1, 2, 0), pixels)


def test_padding_keeps_the_pixels_and_is_black():
    x = as_pixels(Image.new("L", (28, 28), 200), 1, 32, pad=2)
    assert (x[:, 2:30, 2:30] == 200).all()
    assert x.sum() == 200 * 28 * 28


def test_the_centre_square_is_cut_out():
    image = Image.new("RGB", (30, 10), "red")
    image.paste("blue", (10, 0, 20, 10))
    assert (as_pixels(image, 3, 10) == torch.tensor([0, 0, 255]).view(3, 1, 1)).all()


def test_resizing_is_antialiased():
    checkerboard = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    assert (as_pixels(checkerboard, 1, 8).float() - 127.5).abs().max() < 8


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("LA", (4, 4), (10, 255)), (10, 10, 10)),
        (Image.new("RGB", (4, 4), (1, 2, 3)).quantize(), (1, 2, 3)),
        (Image.new("CMYK", (4, 4), (0, 0, 0, 0)), (255, 255, 255)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 0x1234, np.uint16)), (0x12, 0x12, 0x12)),
        (Image.open(BytesIO(b"P5 4 4 65535\n" + 16 * b"\x00\xc8")), (0, 0, 0)),
        (Image.open(BytesIO(b"P5 4 4 4095\n" + 16 * b"\x08\x00")), (128, 128, 128)),
    ],
    ids=["transparent", "grey with alpha", "palette", "cmyk", "one bit", "16 bit", "dark 16-bit PGM", "12-bit PGM"],
)
def test_every_kind_of_image_becomes_rgb(image, expected):
    assert (as_pixels(image, 3, 4) == torch.tensor(expected).view(3, 1, 1)).all()
    assert as_pixels(image, 1, 4).shape == (1, 4, 4)


# Sources


def load_yaml(name: str, *overrides: str) -> Source:
    """The source that conf/data/`name`.yaml describes."""
    text = OmegaConf.load(CONF / f"{name}.yaml")
    if "_image" in text.pop("defaults", []):
        text = OmegaConf.merge(OmegaConf.load(CONF / "_image.yaml"), text)
    cfg = text if "data" in text else OmegaConf.create({"data": text})
    return instantiate(OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(overrides))).data)


FOUND = ["data.image_size=8", "data.channels=3", "data.n_classes=null"]
OWN = dict.fromkeys(("image_folder", "image_zip", "arrays", "hdf5", "webdataset"), FOUND)
OWN["hf"] = [*FOUND, "data.name=hf"]
"""What a run finds out of sets of one's own, see tests/test_own_data.py."""


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("[!_]*.yaml")))
def test_every_yaml_instantiates_and_names_itself(compose, name):
    source = instantiate(compose(f"data={name}", *OWN.get(name, [])).data)
    assert isinstance(source, Source)
    assert source.name == name
    assert len(source.shape) in (1, 2, 3)


def test_digits_are_all_there():
    source = load_yaml("digits")
    data = source.split("train")
    assert data.images.shape == (1797, 1, 32, 32)
    assert data.images.dtype == torch.uint8
    assert data.images.amax() == 255
    assert data.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert source.split("train") is data
    with pytest.raises(UserError, match="data=digits has no split 'test': choose from train"):
        source.split("test")


def test_image_size_gives_the_shape():
    source = load_yaml("digits", "data.image_size=16")
    assert source.split("train")[0][0].shape == source.shape == (1, 16, 16)
    with pytest.raises(UserError, match=r"contradicts data\.channels=1"):
        Digits("digits", 32, 1, (3, 32, 32), 10, 10**9)


def test_fingerprint_follows_the_content():
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    changed = images.clone()
    changed[2, 0, 3, 3] = 1
    assert StoredSplit(images).fingerprint() == StoredSplit(images.clone()).fingerprint()
    assert StoredSplit(images).fingerprint() != StoredSplit(changed).fingerprint()
    assert StoredSplit(images).fingerprint() != StoredSplit(images, torch.tensor([0, 0, 1])).fingerprint()


def test_ring_and_grid_have_the_toy_figures_centres():
    source = load_yaml("gaussians")
    torch.testing.assert_close(source.centers.norm(dim=1), torch.full((8,), 2 / 1.414))
    torch.testing.assert_close(source.centers[2], torch.tensor([0, 2 / 1.414]))
    assert source.std == pytest.approx(0.02 / 1.414)
    centers = load_yaml("gaussians_grid").centers * 2.828
    assert {tuple(c) for c in centers.round().tolist()} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert grid(2, 2.0).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]


def test_points_surround_their_centres():
    source = Gaussians("gaussians", (2,), 8, ring(8, 2.0), std=0.02, scale=1.414, n=80_000, seed=0)
    points = source.split("train")
    offsets = points.images - source.centers[points.labels]
    torch.testing.assert_close(offsets.std(0), torch.full((2,), source.std), rtol=0.02, atol=0)
    assert points.labels.bincount().tolist() == [10_000] * 8
    assert not torch.equal(points.images, source.split("test").images)


@pytest.mark.parametrize("data", ["gaussians", "swiss_roll"])
def test_points_of_no_split_and_seed_are_those_of_another(data):
    splits = [
        load_yaml(data, f"data.seed={seed}", "data.n=50").split(which) for seed in (0, 1) for which in ("train", "test")
    ]
    assert len({tuple(split.images.flatten().tolist()) for split in splits}) == 4


def test_swiss_roll_without_noise_is_the_spiral():
    points = SwissRoll("swiss_roll", (2,), None, noise=0.0, scale=7.5, n=1000, seed=0).split("train").images * 7.5
    angle = points.norm(dim=1)
    torch.testing.assert_close(points, angle[:, None] * torch.stack([angle.cos(), angle.sin()], 1), atol=1e-4, rtol=0)


# Idx files and torchvision


def write_idx(path: Path, array: np.ndarray) -> None:
    data = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_fashion_mnist(folder: Path, ending: str, n: int = 5) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", np.arange(n))
    return images


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("place", ["data.root", "data.dataset.packaged"])
def test_fashion_mnist_is_read_from_idx_files_and_padded(tmp_path, ending, place):
    images = write_fashion_mnist(tmp_path, ending)
    elsewhere = [f"data.root={tmp_path}/none", f"data.dataset.packaged={tmp_path}/none", "data.download=false"]
    source = load_yaml("fashion_mnist", *elsewhere, f"{place}={tmp_path}")
    for which in ("train", "test"):
        data = source.split(which)
        assert np.array_equal(data.images[:, 0, 2:30, 2:30], images)
        assert data.images.shape == (5, 1, 32, 32)
        assert data.labels.tolist() == [0, 1, 2, 3, 4]
    assert source.class_names[:2] == ("T-shirt/top", "Trouser")


def test_a_damaged_idx_file_is_refused(tmp_path):
    write_idx(tmp_path / "images", np.zeros((2, 3, 3)))
    assert read_idx(tmp_path / "images").shape == (2, 3, 3)
    (tmp_path / "images").write_bytes((tmp_path / "images").read_bytes()[:-1])
    with pytest.raises(OSError, match="is not an idx file"):
        read_idx(tmp_path / "images")


@pytest.mark.parametrize("damage", [b"", b"\0", b"\0\0\x08\x03", b"text", None])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_damage_of_an_idx_file_names_it(tmp_path, damage, ending):
    path = tmp_path / f"images{ending}"
    write_idx(path, np.zeros((20, 30, 30)))
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    with pytest.raises(OSError, match=f"{path} is not an idx file"):
        read_idx(path)


class StandIn(IdxImages):
    """A torchvision-like data set which is there only once it has been downloaded."""

    def __init__(self, root: Path, train: bool, internet: bool, download: bool = False):
        if download and not internet:
            raise OSError("<urlopen error [Errno -2] Name or service not known>")
        if download:
            write_fashion_mnist(root, "")
        if not (root / "train-images-idx3-ubyte").exists():
            raise RuntimeError("Dataset not found.")
        super().__init__(root / "train-images-idx3-ubyte", root / "train-labels-idx1-ubyte")


def stand_in(root: Path, **settings) -> TorchvisionSet:
    arguments = {"download": True, "in_memory": 10**9, "dataset": partial(StandIn, internet=True), "n_classes": 10}
    return TorchvisionSet(
        "stand_in", 28, 1, (1, 28, 28), splits={"train": {"train": True}}, root=root, **{**arguments, **settings}
    )


def test_missing_data_is_downloaded_once(tmp_path):
    assert len(stand_in(tmp_path / "new").split("train")) == 5
    offline = partial(StandIn, internet=False)
    assert len(stand_in(tmp_path / "new", dataset=offline).split("train")) == 5


@pytest.mark.parametrize("download", [True, False])
def test_missing_data_without_internet_is_one_sentence(tmp_path, download):
    with pytest.raises(UserError) as error:
        stand_in(tmp_path, dataset=partial(StandIn, internet=False), download=download).split("train")
    message = str(error.value)
    assert f"data=stand_in (train) was not found in data.root={tmp_path}" in message
    assert "run the same command once with internet access" in message
    assert "data=digits, which needs no download" in message


@pytest.mark.parametrize("error", [UnpicklingError("invalid load key"), EOFError("ran out of input"), KeyError("data")])
def test_whatever_the_reader_of_a_data_set_raises_is_one_sentence(tmp_path, error):
    """As torchvision's readers do at a damaged file."""

    def read(root, train):
        raise error

    sentence = rf"^data=stand_in \(train\) .* data\.root={tmp_path} \({type(error).__name__}: .*data=digits[^\n]*\.$"
    with pytest.raises(UserError, match=sentence):
        stand_in(tmp_path, dataset=read).split("train")


def test_a_missing_package_is_named(tmp_path):
    def needs_lmdb(root, train):
        raise ModuleNotFoundError("No module named 'lmdb'", name="lmdb")

    with pytest.raises(UserError, match="pip install lmdb"):
        stand_in(tmp_path, dataset=needs_lmdb).split("train")


def test_what_does_not_fit_into_memory_is_decoded_on_access(tmp_path):
    decoded = stand_in(tmp_path, in_memory=5 * 28 * 28).split("train")
    lazy = stand_in(tmp_path, in_memory=5 * 28 * 28 - 1).split("train")
    assert isinstance(decoded, StoredSplit)
    assert isinstance(lazy, ImageFiles)
    assert torch.equal(torch.stack([x for x, _ in lazy]), decoded.images)
    assert [y for _, y in lazy] == decoded.labels.tolist()
    assert lazy.fingerprint() != stand_in(tmp_path, in_memory=0, pad=1).split("train").fingerprint()


def test_labels_are_zero_without_classes(tmp_path):
    assert stand_in(tmp_path, n_classes=None).split("train").labels.tolist() == [0] * 5


def test_fashion_mnist_falls_back_to_torchvision(tmp_path):
    with pytest.raises(RuntimeError, match="download"):
        fashion_mnist(tmp_path, train=True, packaged=str(tmp_path))


# Folders


def folder(root: Path | None, **settings) -> ImageFolder:
    arguments = {"n_classes": None, "on_broken": "error", "in_memory": 10**9, **settings}
    return ImageFolder("image_folder", 8, 3, (3, 8, 8), root=root, **arguments)


def save(path: Path, color: str = "red", size: tuple[int, int] = (8, 8), **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


def test_odd_files_of_a_folder(tmp_path):
    save(tmp_path / "tall.png", size=(3, 90))
    save(tmp_path / "deep" / "er" / "WIDE.JPG", size=(100, 7))
    Image.new("RGBA", (5, 5), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("P", (9, 9)).save(tmp_path / "palette.gif")
    (tmp_path / ".hidden.png").write_bytes(b"")
    save(tmp_path / ".thumbnails" / "a.png")
    (tmp_path / "notes.txt").write_text("not an image")
    data = folder(tmp_path).split("train")
    assert data.images.shape == (4, 3, 8, 8)
    assert (data.images[0] == 255).all()


def test_exif_orientation_is_respected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image = Image.new("RGB", (8, 8), "black")
    image.paste("white", (0, 0, 4, 8))  # left half: on top once turned
    image.save(tmp_path / "a.png", exif=exif)
    x = folder(tmp_path).split("train").images[0]
    assert (x[:, :4] == 255).all()
    assert (x[:, 4:] == 0).all()


def test_class_folders_and_splits(tmp_path):
    for which, names in (("train", ("cat", "dog", "fox")), ("test", ("dog", "fox"))):
        for name in names:
            save(tmp_path / which / name / "a.png")
    source = folder(tmp_path, n_classes=3)
    assert source.split("train").labels.tolist() == [0, 1, 2]
    assert source.split("test").labels.tolist() == [1, 2]
    assert folder(tmp_path).split("test").labels.tolist() == [0, 0]
    with pytest.raises(UserError, match=r"data.n_classes=2, but .* has 3 folders with images: set data.n_classes=3"):
        folder(tmp_path, n_classes=2).split("train")


def test_a_folder_without_subfolders_is_all_training_data(tmp_path):
    save(tmp_path / "a.png")
    assert list(folder(tmp_path).splits) == ["train"]


def test_a_broken_image_is_named_or_skipped(tmp_path, caplog):
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.png", size=(64, 64))
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"b\.png is not a readable image .* data.on_broken=skip"):
        folder(tmp_path).split("train")
    assert len(folder(tmp_path, on_broken="skip").split("train")) == 2
    assert "skipped 1 broken of 3 images" in caplog.text
    lazy = folder(tmp_path, on_broken="skip", in_memory=0).split("train")
    assert [path.stem for path in lazy.pictures.paths] == ["a", "c"]


def test_a_link_to_nothing_is_a_broken_image(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"b\.png is not a readable image .* data.on_broken=skip"):
        folder(tmp_path).split("train")
    assert len(folder(tmp_path, on_broken="skip").split("train")) == 1


def test_links_in_a_circle_give_each_image_once(tmp_path):
    save(tmp_path / "x" / "a.jfif", format="JPEG")
    save(tmp_path / "y" / "b.png")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    (tmp_path / "x" / "here").symlink_to(tmp_path / "x")
    assert len(folder(tmp_path).split("train")) == 2


@pytest.mark.parametrize("mode", ["int32", "uint16"])
def test_depths_of_grey(tmp_path, mode):
    """Whole numbers of 32 bits are shades of 256 unless they need more; those of 16 bits are of 65,536."""
    for name, number in (("low", 200), ("high", 51_400)):
        Image.fromarray(np.full((8, 8), number, dtype=mode)).save(tmp_path / f"{name}.tiff")
    high, low = folder(tmp_path).split("train").images
    assert (high == 51_400 // 256).all()
    assert (low == (200 if mode == "int32" else 0)).all()


def test_floating_point_images_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 0.5, dtype="float32")).save(tmp_path / "a.tiff")
    with pytest.raises(UserError, match=r"a\.tiff is not a readable image .*floating-point"):
        folder(tmp_path).split("train")


def test_a_file_of_the_same_size_with_another_picture_is_another_data_set(tmp_path):
    fingerprints = []
    for color, time in (("red", 1), ("blue", 2)):
        save(tmp_path / "a.bmp", color)
        os.utime(tmp_path / "a.bmp", (time, time))
        fingerprints.append(folder(tmp_path, in_memory=0).split("train").fingerprint())
    assert fingerprints[0] != fingerprints[1]


@pytest.mark.parametrize("on_broken", ["error", "skip"])
def test_a_folder_without_images_is_refused(tmp_path, on_broken):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=f"data.root={tmp_path} has no readable images"):
        folder(tmp_path, on_broken=on_broken).split("train")


def test_bad_folder_settings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"set data\.root=FOLDER"):
        folder(None).split("train")
    with pytest.raises(UserError, match="is not a folder"):
        folder(tmp_path / "none").split("train")
    with pytest.raises(UserError, match=r"^ImageFolder\.on_broken=ignore"):
        folder(tmp_path, on_broken="ignore")


def test_fingerprint_of_files_follows_names_and_sizes(tmp_path):
    save(tmp_path / "a.png")
    before = folder(tmp_path, in_memory=0).split("train").fingerprint()
    assert before == folder(tmp_path, in_memory=0).split("train").fingerprint()
    save(tmp_path / "b.png")
    assert before != folder(tmp_path, in_memory=0).split("train").fingerprint()


# The data module under Lightning


class Counted(Source):
    """n images that hold their own index as their label: in memory, in files or in a pack."""

    def __init__(self, n: int, place: str = "memory"):
        super().__init__("counted", (1, 2, 2), n)
        self.n, self.place = n, place

    def load(self, which: str) -> StoredSplit | ImageFiles:
        if self.place != "memory":
            pictures = [(Image.new("L", (2, 2), i), i) for i in range(self.n)]
            files = ImageFiles(DatasetPictures(pictures, "data=counted"), self.shape, True)
            return packed(files, self.name) if self.place == "pack" else files
        return StoredSplit(
            torch.arange(self.n, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2), torch.arange(self.n)
        )


@pytest.fixture
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "cache"))


class Recorder(LightningModule):
    """A manual optimisation that writes down what it was given; one optimizer step per batch."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.layer = nn.Linear(1, 1)
        self.seen, self.pixels = [], []

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.seen.append(y.tolist())
        self.pixels.append(x[:, 0, 0, 0])
        self.layer(torch.ones(1, 1)).sum().backward()
        self.optimizers().step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class SaveAt(Callback):
    """A checkpoint after some update, in the middle of an epoch or at its end."""

    def __init__(self, path: Path, update: int):
        self.path, self.update = path, update

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.update:
            trainer.save_checkpoint(self.path)


class SaveAtEpochEnd(SaveAt):
    """The same when the epoch ends."""

    def on_train_batch_end(self, trainer, *_):
        pass

    def on_train_epoch_end(self, trainer, *_):
        SaveAt.on_train_batch_end(self, trainer)


def run(data: GANData, epochs: int, *callbacks: Callback, resume: Path | None = None, **settings) -> Recorder:
    """`epochs` epochs of 5 updates each."""
    module = Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    settings = {"max_epochs": epochs, "limit_train_batches": 5, "accelerator": "cpu", **quiet, **settings}
    Trainer(callbacks=list(callbacks), **settings).fit(module, data, ckpt_path=resume, weights_only=True)
    return module


@pytest.mark.parametrize(("place", "workers"), [("memory", 0), ("files", 0), ("files", 2), ("pack", 2)])
def test_epochs_of_the_trainer_go_on_where_the_last_one_stopped(place, workers):
    seen = run(GANData(Counted(23, place), 6, seed=0, num_workers=workers), 4).seen
    expected = EndlessSampler(23, seed=0).take(0, 4 * 5 * 6)
    assert torch.equal(torch.tensor(seen), expected.view(-1, 6))


@pytest.mark.usefixtures("_cache")
@pytest.mark.parametrize("place", ["memory", "files", "pack"])
@pytest.mark.parametrize(
    ("save", "update"), [(SaveAt, 1), (SaveAt, 5), (SaveAt, 8), (SaveAt, 10), (SaveAtEpochEnd, 5), (SaveAtEpochEnd, 10)]
)
def test_resuming_gives_the_batches_of_an_uninterrupted_run(tmp_path, save, update, place):
    whole = run(GANData(Counted(23, place), 6, seed=0), 4, save(tmp_path / "a.ckpt", update)).seen
    rest = run(GANData(Counted(23, place), 6, seed=0), 4, resume=tmp_path / "a.ckpt").seen
    assert len(whole) == 20
    assert rest == whole[update:]


@pytest.mark.usefixtures("_cache")
@pytest.mark.parametrize("place", ["memory", "files", "pack"])
def test_players_see_some_images_alone_and_so_after_a_resume(tmp_path, place):
    some = {"seed": 0, "train_images": 9}
    data = GANData(Counted(23, place), 6, **some)
    whole = run(data, 3, SaveAt(tmp_path / "a.ckpt", 5)).seen
    assert torch.equal(torch.tensor(whole).flatten(), EndlessSampler(9, 0, among=23).take(0, 90))
    assert len({image for batch in whole for image in batch}) == 9
    assert run(GANData(Counted(23, place), 6, **some), 3, resume=tmp_path / "a.ckpt").seen == whole[5:]
    assert len(data.source.split("train")) == 23  # what the metrics look at


def test_more_images_than_there_are():
    with pytest.raises(UserError, match=r"^train_images=24 is more than the 23 .* data=counted: .* to null for all"):
        run(GANData(Counted(23), 6, seed=0, train_images=24), 1)
    with pytest.raises(UserError, match="data=counted has 5 training images, fewer than the 6 = n_dis x batch_size"):
        run(GANData(Counted(23), 6, seed=0, train_images=5), 1)


def test_resuming_twice_and_with_another_batch_size_goes_on_at_the_position(tmp_path):
    first = run(GANData(Counted(23), 6, seed=0), 4, SaveAt(tmp_path / "a.ckpt", 8)).seen
    data = GANData(Counted(23), 4, seed=0)
    second = run(data, 4, SaveAt(tmp_path / "b.ckpt", 12), resume=tmp_path / "a.ckpt").seen
    third = run(GANData(Counted(23), 4, seed=0), 4, resume=tmp_path / "b.ckpt").seen
    drawn = [i for batch in first[:8] + second[:4] + third for i in batch]
    assert drawn == EndlessSampler(23, seed=0).take(0, 8 * 6 + 12 * 4).tolist()


@pytest.mark.parametrize("looks", [True, False])
def test_more_classes_than_the_networks_know(looks):
    source = Gaussians("ring", (2,), 8, ring(25, 2.0), std=0.02, scale=1.414, n=100, seed=0)
    data = GANData(source, 6, seed=0)
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(n_classes=8 if looks else None), world_size=1, global_rank=0
    )
    sentence = r"^data=ring: the classes go from 0 to 24, with data\.n_classes=8: set data\.n_classes=25\.$"
    with pytest.raises(UserError, match=sentence) if looks else nullcontext():
        data.setup("fit")


@pytest.mark.parametrize(("n", "warnings"), [(23, 0), (24, 1)])
def test_resuming_with_more_images_is_said(tmp_path, caplog, n, warnings):
    run(GANData(Counted(23), 6, seed=0), 2, SaveAt(tmp_path / "a.ckpt", 5))
    run(GANData(Counted(n), 6, seed=0), 4, resume=tmp_path / "a.ckpt")
    assert caplog.text.count("data=counted has 24 training images, and had 23 when the run was saved") == warnings


def test_the_training_step_sees_scaled_pixels():
    module = run(GANData(Counted(23), 6, seed=0), 1)
    torch.testing.assert_close(torch.cat(module.pixels), torch.tensor(module.seen).flatten() / 127.5 - 1)
    noisy = run(GANData(Counted(23), 6, seed=0, dequantize=True), 1)
    excess = (torch.cat(noisy.pixels) + 1) * 128 - torch.tensor(noisy.seen).flatten()
    assert excess.min() > -1e-3
    assert excess.max() < 1 + 1e-3
    assert excess.std() > 0.1


def test_flips_mirror_half_of_the_images_anew_each_time():
    data, labels = GANData(Counted(400), 6, seed=0, flips=True), torch.arange(400)
    pixels = torch.randint(256, (400, 3, 2, 5), dtype=torch.uint8)
    (first, y), (second, _) = (data.on_after_batch_transfer((pixels, labels), 0) for _ in range(2))
    as_it_is, mirrored = ((first == to_unit(x)).flatten(1).all(1) for x in (pixels, pixels.flip(3)))
    assert (as_it_is ^ mirrored).all()
    assert 150 < mirrored.sum() < 250
    assert not torch.equal(first, second)
    assert torch.equal(y, labels)


def test_flips_of_points_are_refused():
    points = Gaussians("gaussians", (2,), 8, ring(8, 2.0), std=0.02, scale=1.414, n=100, seed=0)
    with pytest.raises(UserError, match=r"^flips=true mirrors images, .* data=gaussians have shape \[2\]"):
        run(GANData(points, 6, seed=0, flips=True), 1)


def test_loading_leaves_the_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    data = GANData(Counted(23, "files"), 6, seed=0)
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    next(iter(data.train_dataloader()))
    assert torch.equal(torch.rand(1), expected)


def test_points_are_passed_through():
    source = Gaussians("gaussians", (2,), 8, ring(8, 2.0), std=0.02, scale=1.414, n=100, seed=0)
    batch = (source.split("train").images, source.split("train").labels)
    assert GANData(source, 10, seed=0).on_after_batch_transfer(batch, 0)[0] is batch[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_stops_training_with_one_sentence(tmp_path, workers):
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not an image")
    data = GANData(folder(tmp_path, in_memory=0), 2, seed=0, num_workers=workers)
    with pytest.raises(UserError, match=r"b\.png is not a readable image") as error:
        run(data, 1)
    assert len(str(error.value).splitlines()) == 1


def test_too_few_images_for_one_update():
    with pytest.raises(UserError, match="data=counted has 23 training images, fewer than the 24 = n_dis x batch_size"):
        run(GANData(Counted(23), 24, seed=0), 1)


def on(data: GANData, rank: int = 0, world_size: int = 1, global_step: int = 0, device: str = "cpu") -> GANData:
    """The data module as one process of a run sees it."""
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, global_step=global_step, strategy=strategy)
    return data


def test_ranks_of_a_run_share_each_batch():
    parts = []
    for rank in range(2):
        loader = on(GANData(Counted(23), 6, seed=0), rank, 2, global_step=3).train_dataloader()
        parts.append(torch.cat([y for _, y in islice(loader, 4)]))
    assert torch.equal(torch.stack(parts, 1).flatten(), EndlessSampler(23, seed=0).take(3 * 6, 4 * 6))


def test_images_that_cannot_be_shared_among_the_devices():
    with pytest.raises(UserError, match="set batch_size to a multiple of 4"):
        on(GANData(Counted(23), 6, seed=0), world_size=4).setup("fit")


def test_small_data_lives_on_the_training_device():
    for device_memory, device in ((23 * 4, "meta"), (23 * 4 - 1, "cpu")):
        data = on(GANData(Counted(23), 6, seed=0, device_memory=device_memory), device="meta")
        loader = data.train_dataloader()
        assert (loader if device == "meta" else loader.batches).images.device.type == device
