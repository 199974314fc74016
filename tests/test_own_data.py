"""Data of one's own in any form: the same images give the same training, and what is found out of them is recorded."""

import copy
import io
import json
import logging
import multiprocessing
import os
import pickle
import sys
import tarfile
import warnings
import zipfile
from contextlib import nullcontext
from functools import cache
from logging.handlers import BufferingHandler
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace

import lit_gan.conf
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from PIL import Image

from lit_gan.build import build_source, complete_data, complete_metrics
from lit_gan.cli.launch import launch
from lit_gan.data import own_images
from lit_gan.data.arrays import ArrayPictures, as_bytes
from lit_gan.data.handles import OwnHandle
from lit_gan.data.image_files import FilePictures
from lit_gan.data.image_zip import common_folder
from lit_gan.data.packed import Packed
from lit_gan.data.shards import Member, ShardPictures
from lit_gan.data.source import ImageFiles, Source, StoredSplit
from lit_gan.errors import UserError
from lit_gan.metrics.extractors import EfficientNetLite0
from lit_gan.parts import locate_if_there
from lit_gan.records.resume import check_resume
from lit_gan.settings import check_arguments, parts
from lit_gan.sweep.same_cell import check_same_cell
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.pack import pack
from lit_gan.tasks.train import train

CONF = Path(lit_gan.conf.__file__).parent / "data"
SIZE = 16
CLASSES = ("cat", "dog", "fox")


def png(number: int, mode: str = "RGB", size: tuple[int, int] = (SIZE, SIZE)) -> bytes:
    """An image of noise."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels).convert(mode))


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [(f"{CLASSES[number % 3]}/{number:02d}.png", png(number)) for number in range(12)]
IMAGES.sort()
LABELS = [CLASSES.index(name.split("/")[0]) for name, _ in IMAGES]
PIXELS = np.stack([np.asarray(Image.open(io.BytesIO(content))) for _, content in IMAGES])


def write_files(root: Path, files: list[tuple[str, bytes]]) -> Path:
    for name, content in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: list[tuple[str, bytes | str]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: list[tuple[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(numbers: range) -> list[tuple[str, bytes]]:
    """Images and classes as WebDataset has them."""
    both = (
        ((f"{n:04d}.png", IMAGES[n][1]) for n in numbers),
        ((f"{n:04d}.cls", str(LABELS[n]).encode()) for n in numbers),
    )
    return sorted([*both[0], *both[1]])


def in_folder(here: Path) -> list[str]:
    return ["data=image_folder", f"data.root={write_files(here / 'photos', IMAGES)}"]


def in_zip(here: Path) -> list[str]:
    return ["data=image_zip", f"data.file={write_zip(here / 'photos.zip', [('photos/' + n, c) for n, c in IMAGES])}"]


def in_listed_zip(here: Path) -> list[str]:
    names = [f"0000{n // 8}/img{n:08d}.png" for n in range(12)]
    labels = json.dumps({"labels": list(zip(names, LABELS, strict=True))})
    files = [*zip(names, (content for _, content in IMAGES), strict=True), ("dataset.json", labels)]
    return ["data=image_zip", f"data.file={write_zip(here / 'listed.zip', files)}"]


def in_npz(here: Path) -> list[str]:
    np.savez_compressed(here / "images.npz", x=PIXELS.transpose(0, 3, 1, 2), y=np.array(LABELS))
    return ["data=arrays", f"data.file={here / 'images.npz'}"]


def in_floats(here: Path) -> list[str]:
    np.savez(here / "floats.npz", x=PIXELS / 127.5 - 1, y=np.array(LABELS, np.uint8))
    return ["data=arrays", f"data.file={here / 'floats.npz'}", "data.range=[-1,1]"]


def in_hdf5(here: Path) -> list[str]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(here / "images.h5", "w") as file:
        file["deep/images"], file["labels"] = PIXELS, LABELS
    return ["data=hdf5", f"data.file={here / 'images.h5'}"]


def in_shards(here: Path) -> list[str]:
    for part, numbers in enumerate((range(5), range(5, 12))):
        write_tar(here / "shards" / f"part-{part}.tar", samples(numbers))
    return ["data=webdataset", f"data.root={here / 'shards'}"]


def in_datasets(here: Path) -> list[str]:
    datasets = pytest.importorskip("datasets", reason="pip install 'lit_gan[hf]'")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(CLASSES)))
    images = [{"bytes": content, "path": None} for _, content in IMAGES]
    content = datasets.Dataset.from_dict({"image": images, "label": LABELS}, features=features)
    content.save_to_disk(str(here / "saved"))
    return ["data=hf", f"data.root={here / 'saved'}"]


FORMS = [in_folder, in_zip, in_listed_zip, in_npz, in_floats, in_hdf5, in_shards, in_datasets]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


@cache
def conf(name: str) -> DictConfig:
    """What conf/data/`name`.yaml says; Hydra takes a quarter of a second to compose it."""
    text = OmegaConf.load(CONF / f"{name}.yaml")
    text.pop("defaults")
    return OmegaConf.merge(OmegaConf.load(CONF / "_image.yaml"), text)


def opened(choice: str, *settings: str) -> Source:
    """The source of `data=NAME` and settings, with what was found of it."""
    config = OmegaConf.create({"data": conf(choice.removeprefix("data="))})
    config.merge_with_dotlist(list(settings))
    for part in parts(config):
        check_arguments(part, locate_if_there(part._target_))
    complete_data(config)
    source = build_source(config)
    source.facts = [config.data[name] for name in ("image_size", "channels", "n_classes")]
    return source


def content(split: StoredSplit | ImageFiles) -> tuple[torch.Tensor, list[int]]:
    return torch.stack([split[index][0] for index in range(len(split))]), [split[i][1] for i in range(len(split))]


# The same images in every form


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_and_says_what_they_are(form, tmp_path):
    data = form(tmp_path)
    in_memory, packed, apart = [], ["data.in_memory=0"], ["data.in_memory=0", "data.pack=false"]
    for how, kind in ((in_memory, StoredSplit), (packed, Packed), (apart, ImageFiles)):
        source = opened(*data, *how)
        split = source.split("train")
        assert type(split) is kind
        pixels, labels = content(split)
        assert np.array_equal(pixels.permute(0, 2, 3, 1), PIXELS)
        assert labels == LABELS
        assert source.facts == [SIZE, 3, 3]
        assert list(source.splits) == ["train"]
    with_names = form in (in_folder, in_zip, in_datasets)
    assert source.class_names == (list(CLASSES) if with_names else None)
    there = pickle.loads(pickle.dumps(split.pictures))  # to a process that is not forked
    assert np.array_equal(np.asarray(there[3][0]), PIXELS[3])


@pytest.mark.parametrize("name", ["Train", "training", "TRAIN"])
def test_a_folder_that_is_likely_a_split_is_refused_before_it_is_a_class(tmp_path, name):
    files = [(f"{folder}/{number}.png", png(number)) for number, folder in enumerate((name, "Test", name))]
    folder, archive = write_files(tmp_path / "photos", files), write_zip(tmp_path / "a.zip", files)
    for data in (["data=image_folder", f"data.root={folder}"], ["data=image_zip", f"data.file={archive}"]):
        with pytest.raises(UserError, match=rf"has a folder {name}, which may be a split: call it train"):
            opened(*data)
        assert opened(*data, "data.split_folders=false").facts[2] == 2


def test_a_zip_of_windows_has_its_folders(tmp_path):
    path = write_zip(tmp_path / "a.zip", [(name.replace("/", "\\"), content) for name, content in IMAGES])
    source = opened("data=image_zip", f"data.file={path}")
    assert (source.class_names, source.split("train").labels.tolist()) == (list(CLASSES), LABELS)


def test_without_numbers_the_labels_are_ignored(tmp_path):
    for form in (in_folder, in_listed_zip, in_npz, in_shards):
        source = opened(*form(tmp_path), "data.n_classes=null", "data.image_size=8", "data.channels=1")
        assert source.facts == [8, 1, None]
        assert content(source.split("train"))[1] == [0] * 12


@pytest.mark.parametrize("form", FORMS)
def test_another_picture_or_label_is_another_pack(form, tmp_path, monkeypatch):
    prints = set()
    for place, change in (
        ("a", {}),
        ("b", {"IMAGES": [(IMAGES[0][0], png(99)), *IMAGES[1:]]}),
        ("c", {"LABELS": [2, *LABELS[1:]]}),
    ):
        with monkeypatch.context() as patch:
            for name, value in change.items():
                patch.setitem(globals(), name, value)
            patch.setitem(globals(), "PIXELS", np.stack([np.asarray(Image.open(io.BytesIO(c))) for _, c in IMAGES]))
            (tmp_path / place).mkdir()
            data = form(tmp_path / place)
        prints.add(opened(*data, "data.in_memory=0", "data.pack=false").split("train").fingerprint())
    assert len(prints) == 3 - (form in (in_folder, in_zip))  # whose labels are their names


# What is found out


def looked_at(tmp_path, *files: tuple[str, bytes], more: tuple[str, ...] = ()):
    return opened("data=image_folder", f"data.root={write_files(tmp_path / 'photos', list(files))}", *more)


def test_grey_images_have_one_channel_and_with_coloured_ones_three(tmp_path):
    grey = [(f"{mode}.png", png(0, mode)) for mode in ("L", "1", "LA", "I;16")]
    assert looked_at(tmp_path, *grey).facts == [SIZE, 1, None]
    assert looked_at(tmp_path, ("P.png", png(0, "P"))).facts == [SIZE, 3, None]


def test_the_size_is_that_of_the_centre_square(tmp_path):
    tall, wide = ("a.png", png(0, size=(16, 40))), ("b.png", png(1, size=(41, 16)))
    assert looked_at(tmp_path, tall, wide).facts[0] == 16


def test_different_sizes_are_refused_by_name_unless_one_is_set(tmp_path, monkeypatch):
    monkeypatch.setattr(own_images, "BLOCK", 2)
    files = [(f"{number}.png", png(number, size=(20 + (number == 2), 30))) for number in range(4)]
    sentence = r"auto: the images .* 0\.png has 20x30 and .* 2\.png has 21x30 .*data\.image_size=64"
    with pytest.raises(UserError, match=sentence.replace(" .* 0", " .*0").replace(" .* 2", " .*2")):
        looked_at(tmp_path, *files)
    assert looked_at(tmp_path, *files, more=("data.image_size=32",)).facts == [32, 3, None]


def test_the_search_for_a_colour_ends_at_the_first(tmp_path, monkeypatch):
    looks, header = [], FilePictures.header
    monkeypatch.setattr(own_images, "BLOCK", 1)
    monkeypatch.setattr(FilePictures, "header", lambda self, index: looks.append(index) or header(self, index))
    files = [("0.png", png(0, "L")), *((f"{number}.png", png(number)) for number in range(1, 5))]
    assert looked_at(tmp_path, *files, more=("data.image_size=8",)).facts == [8, 3, None]
    assert looks == [0, 1]


def test_a_broken_image_is_named_or_passed_over(tmp_path):
    files = [("a.png", b"no image"), ("b.png", png(0))]
    with pytest.raises(UserError, match=r"a\.png is not a readable image .*data\.on_broken=skip"):
        looked_at(tmp_path, *files)
    source = looked_at(tmp_path, *files, more=("data.on_broken=skip",))
    assert (source.facts, len(source.split("train"))) == ([SIZE, 3, None], 1)
    (tmp_path / "photos" / "b.png").unlink()
    with pytest.raises(UserError, match="has no readable images"):
        opened("data=image_folder", f"data.root={tmp_path / 'photos'}", "data.on_broken=skip")


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a/0", "b/0"], 2),
        (["a/x/0", "b/y/0", "c/0"], 3),
        (["a/0", "a/1"], None),
        (["a/0", "b/0", "0"], None),
        (["train/a/0", "train/b/0", "test/b/0"], 2),
        (["train/a/0", "train/b/0", "test/c/0"], None),
        (["train/a/0", "train/b/0", "test/0"], None),
    ],
)
def test_class_folders_are_classes_where_all_images_lie_in_them(tmp_path, names, classes):
    files = [(f"{name}.png", png(number)) for number, name in enumerate(names)]
    assert looked_at(tmp_path, *files).facts[2] == classes
    archive = write_zip(tmp_path / "a.zip", [(f"set/{name}", content) for name, content in files])
    assert opened("data=image_zip", f"data.file={archive}").facts[2] == classes


def test_numbers_that_are_set_are_not_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(own_images, "headers", lambda *_: pytest.fail("looked"))
    assert opened(*in_folder(tmp_path), "data.image_size=8", "data.channels=3").facts == [8, 3, 3]


def test_auto_is_for_sets_of_ones_own():
    for setting in ("image_size", "channels", "n_classes"):
        with pytest.raises(UserError, match=rf"data\.{setting}=auto .*number"):
            opened("data=digits", f"data.{setting}=auto")


# Zip archives


def zipped(tmp_path, *files, more: tuple[str, ...] = ()):
    return opened("data=image_zip", f"data.file={write_zip(tmp_path / 'a.zip', list(files))}", *more)


def test_members_that_lead_out_of_the_archive_are_passed_over_and_nothing_is_written(tmp_path, caplog):
    caplog.set_level("INFO")
    bad = [(name, png(1)) for name in ("../evil.png", "__MACOSX/._a.png", ".hidden/b.png")]
    source = zipped(tmp_path, ("/a.png", png(0)), ("notes.txt", b""), *bad)
    before = sorted(tmp_path.parent.rglob("*"))
    assert np.array_equal(content(source.split("train"))[0][0].permute(1, 2, 0), Image.open(io.BytesIO(png(0))))
    assert sorted(tmp_path.parent.rglob("*")) == before
    assert "1 of 5 files (left out: 3 hidden, 1 .txt)" in caplog.text


def test_splits_in_an_archive(tmp_path):
    files = [("set/train/a.png", png(0)), ("set/train/b.png", png(1)), ("set/test/c.png", png(2))]
    source = zipped(tmp_path, *files)
    assert [len(source.split(which)) for which in ("train", "test")] == [2, 1]
    with pytest.raises(UserError, match=r"a\.zip has a folder train beside other.*data\.split_folders"):
        zipped(tmp_path, *files, ("set/other/d.png", png(3)))
    assert len(zipped(tmp_path, *files, more=("data.split_folders=false",)).split("train")) == 3


def test_the_common_folder_ends_before_a_split():
    paths = [PurePosixPath(f"a/b/{name}.png") for name in ("c/0", "d/1")]
    assert common_folder(paths) == PurePosixPath("a/b")
    assert common_folder(paths[:1]) == PurePosixPath("a/b/c")
    assert common_folder([PurePosixPath("a/train/b/0.png")]) == PurePosixPath("a")
    assert common_folder([]) == PurePosixPath()


TWO = [("x/0.png", png(0)), ("y/1.png", png(1))]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ({"labels": None}, None),
        ({"labels": [["x/0.png", 4], ["y/1.png", 0]]}, 5),
        ({"labels": [["x/0.png", 0], ["y/1.png", 0]]}, None),
    ],
)
def test_labels_of_dataset_json_go_before_folders(tmp_path, labels, classes):
    source = zipped(tmp_path, *TWO, ("dataset.json", json.dumps(labels)))
    assert source.facts[2] == classes
    assert content(source.split("train"))[1] == ([4, 0] if classes else [0, 0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"labels": [["x/0.png", 1]]}', r"no label for y/1\.png.*data\.n_classes=null"),
        ('{"labels": [["x/0.png", [0.5, 1]], ["y/1.png", [0, 1]]]}', r"no class numbers.*data\.n_classes=null"),
        ('{"labels": [["x/0.png", [1]], ["y/1.png", 0]]}', r"no class numbers"),
        ('{"labels": [["x/0.png", -1], ["y/1.png", 0]]}', r"from -1 to 0.*data\.n_classes=null"),
        ('{"labels": [["x/0.png"', r"dataset\.json cannot be read \(JSONDecodeError"),
        ("[]", r"dataset\.json cannot be read"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        zipped(tmp_path, *TWO, ("dataset.json", text))


def test_more_classes_in_dataset_json_than_are_set_are_refused(tmp_path):
    listed = json.dumps({"labels": [["x/0.png", 0], ["y/1.png", 5]]})
    with pytest.raises(UserError, match=r"labels in its dataset\.json go from 0 to 5.*set data\.n_classes=6"):
        zipped(tmp_path, *TWO, ("dataset.json", listed), more=("data.n_classes=2",))


def test_damaged_and_missing_archives_are_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", TWO)
    whole = archive.read_bytes()
    for content, place in ((whole[:-30], archive), (b"", archive), (whole, tmp_path / "none.zip"), (whole, tmp_path)):
        archive.write_bytes(content)
        with pytest.raises(UserError, match=r"is no zip archive .*data=image_folder"):
            opened("data=image_zip", f"data.file={place}")
    with pytest.raises(UserError, match=r"set data\.file=FILE\.zip"):
        opened("data=image_zip")
    with pytest.raises(UserError, match=r"a\.zip has no readable images.*1 \.txt"):
        zipped(tmp_path, ("a.txt", b""))


def test_a_damaged_member_is_named_or_skipped(tmp_path):
    archive = write_zip(tmp_path / "a.zip", TWO)
    damaged = bytearray(archive.read_bytes())
    damaged[damaged.index(png(0)) + len(png(0)) // 2] ^= 1
    archive.write_bytes(damaged)
    with pytest.raises(UserError, match=r"data\.file: x/0\.png in .*a\.zip is not a readable image .*CRC"):
        opened("data=image_zip", f"data.file={archive}").split("train")
    assert len(opened("data=image_zip", f"data.file={archive}", "data.on_broken=skip").split("train")) == 1


# Shards


def sharded(tmp_path, *files: tuple[str, bytes], more: tuple[str, ...] = ()):
    write_tar(tmp_path / "shards" / "a.tar", list(files))
    return opened("data=webdataset", f"data.root={tmp_path / 'shards'}", *more)


@pytest.mark.parametrize("ending", ["jpg", "JPG"])
def test_a_sample_of_a_compressed_member_is_three_blocks(tmp_path, monkeypatch, ending):
    read, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda file, n, start: read.append(n) or pread(file, n, start))
    (tmp_path / "a.tar").write_bytes(os.urandom(10**6))
    ShardPictures([Member(tmp_path / "a.tar", 1000, 10**5, f"a.{ending}", None)], [0]).sample(0)
    assert read == [4096] * 3


def test_samples_have_their_name_up_to_the_first_dot(tmp_path, caplog):
    caplog.set_level("INFO")
    files = [
        ("in.dir/0.png", png(0)),
        ("in.dir/0.seg.png", png(1)),
        ("in.dir/0.cls", b"1\n"),
        ("1.cls", b"0"),
        ("1.png", png(2)),
    ]
    source = sharded(tmp_path, *files)
    assert source.facts == [SIZE, 3, 2]
    assert source.split("train").labels.tolist() == [1, 0]
    assert "2 of 3 files (left out: 1 .seg.png) in 1 shards *.tar" in caplog.text


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("0.png", png(0)), ("0.cls", b"1"), ("1.png", png(1))], r"1\.png in .*a\.tar has no class.*n_classes=null"),
        ([("0.png", png(0)), ("0.cls", b"cat")], r"has the class 'cat'"),
        ([("0.png", png(0)), ("0.jpg", png(0))], r"0 in .*a\.tar has two images, 0\.png and 0\.jpg.*data\.endings"),
        ([("0.txt", b"")], "no readable images"),
    ],
)
def test_samples_without_image_or_class_are_refused(tmp_path, files, words):
    with pytest.raises(UserError, match=words):
        sharded(tmp_path, *files)


def test_splits_of_shards(tmp_path):
    for name in ("train-0", "train-1", "val-0"):
        write_tar(tmp_path / "shards" / f"{name}.tar", samples(range(3)))
    here = ["data=webdataset", f"data.root={tmp_path / 'shards'}"]
    source = opened(*here, "data.train='train-*.tar'", "data.test='val-*.tar'")
    assert [len(source.split(which)) for which in ("train", "test")] == [6, 3]
    for pattern in ("'*.zip'", "/x", "null"):
        with pytest.raises(
            UserError, match=r"has no files data\.train=.*train-0\.tar, train-1\.tar, val-0\.tar.*pattern"
        ):
            opened(*here, f"data.train={pattern}")
    with pytest.raises(UserError, match="it holds nothing"):
        opened("data=webdataset", f"data.root={tmp_path / 'none'}")
    with pytest.raises(UserError, match=r"set data\.root=FOLDER"):
        opened("data=webdataset")


def test_shards_of_test_images_are_not_trained_on(tmp_path):
    for name in ("train-0", "val-0"):
        write_tar(tmp_path / "shards" / f"{name}.tar", samples(range(3) if name == "val-0" else range(3, 12)))
    here = ["data=webdataset", f"data.root={tmp_path / 'shards'}"]
    source = opened(*here, "data.test='val-*.tar'")
    assert [len(source.split(which)) for which in ("train", "test")] == [9, 3]
    with pytest.raises(UserError, match=r"no files data\.train=\*\.tar beside those of data\.test=\*\.tar"):
        opened(*here, "data.test='*.tar'")


def test_what_a_shard_would_leave_out_silently_is_refused(tmp_path):
    path = write_tar(tmp_path / "shards" / "a.tar", samples(range(3)))
    whole = path.read_bytes()
    path.write_bytes(2 * whole)
    with pytest.raises(UserError, match=r"a\.tar goes on behind its end.*`tar --concatenate`"):
        opened("data=webdataset", f"data.root={path.parent}")
    path.write_bytes(whole)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("0009.png")
        link.type, link.linkname = tarfile.LNKTYPE, "0000.png"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"0009\.png in .*a\.tar is a link to 0000\.png"):
        opened("data=webdataset", f"data.root={path.parent}")


def test_compressed_shards_are_refused(tmp_path):
    write_tar(tmp_path / "shards" / "a.tar.gz", samples(range(3)), "w:gz")
    with pytest.raises(UserError, match=r"a\.tar\.gz is compressed.*gunzip"):
        opened("data=webdataset", f"data.root={tmp_path / 'shards'}", "data.train='*.tar.gz'")


def test_a_shard_that_is_cut_off_is_refused(tmp_path):
    """Also between two members, where the library tarfile takes it for whole."""
    path = write_tar(tmp_path / "shards" / "a.tar", samples(range(3)))
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        starts = [info.offset for info in archive]
    for end in (starts[2], starts[2] + 512, starts[2] + 700, len(whole.rstrip(b"\0")), 0):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"a\.tar is no tar archive that can be read"):
            opened("data=webdataset", f"data.root={path.parent}")
    path.write_bytes(whole[: starts[2]] + b"x" * 512 + whole[starts[2] + 512 :])
    with pytest.raises(UserError, match=r"cut off, or damaged"):
        opened("data=webdataset", f"data.root={path.parent}")


# Arrays


def array(tmp_path, more: tuple[str, ...] = (), **arrays: np.ndarray):
    np.savez(tmp_path / "a.npz", **arrays)
    return opened("data=arrays", f"data.file={tmp_path / 'a.npz'}", *more)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 9), [8, 1, None]),
        ((5, 8, 9, 1), [8, 1, None]),
        ((5, 1, 8, 9), [8, 1, None]),
        ((5, 8, 9, 3), [8, 3, None]),
        ((5, 3, 9, 8), [8, 3, None]),
        ((5, 8, 9, 4), [8, 3, None]),
        ((5, 3, 8, 3), [3, 3, None]),
    ],
)
def test_layouts_of_arrays(tmp_path, shape, expected):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    source = array(tmp_path, x=pixels)
    assert source.facts == expected
    assert source.split("train").images.shape == (5, expected[1], expected[0], expected[0])


def test_pixels_keep_their_place(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    for x in (pixels, pixels.transpose(0, 2, 3, 1)):
        np.save(tmp_path / "a.npy", x)
        split = opened("data=arrays", f"data.file={tmp_path / 'a.npy'}").split("train")
        assert np.array_equal(split.images, pixels)
    clear = np.zeros((1, 8, 8, 4), np.uint8)
    assert (array(tmp_path, x=clear).split("train").images == 255).all()


@pytest.mark.parametrize("kind", ["float32", "uint16", "int64", "bool"])
def test_other_numbers_than_bytes_need_a_range(tmp_path, kind):
    with pytest.raises(UserError, match=rf"x holds {kind}, .*data\.range=\[0,1\]"):
        array(tmp_path, x=np.zeros((5, 8, 8), kind)).split("train")
    source = array(tmp_path, ("data.range=[0,1]",), x=np.ones((5, 8, 8), kind))
    assert (source.split("train").images == 255).all()


def test_a_range_says_what_is_black_and_what_is_white():
    assert as_bytes(np.array([-1.0, 0.0, 1.0]), -1, 1).tolist() == [0, 128, 255]
    assert as_bytes(np.array([0.0, 1.0]), 1, 0).tolist() == [255, 0]
    assert np.array_equal(as_bytes(np.float32(np.arange(256) / 255), 0, 1), np.arange(256))
    for outside in (1.01, -0.01, np.nan, np.inf):
        with pytest.raises(ValueError, match="beyond 0 to 1"):
            as_bytes(np.array([0.5, outside]), 0, 1)


@pytest.mark.parametrize("given", ["[0]", "[0,0]", "[0,1,2]", "[a,b]", "1", "[0,.nan]", "[true,false]"])
def test_impossible_ranges_are_refused(tmp_path, given):
    with pytest.raises(UserError, match=r"data\.range=.* must be"):
        array(tmp_path, (f"data.range={given}",), x=PIXELS)


def test_a_pixel_beyond_the_range_is_named(tmp_path):
    x = np.zeros((5, 8, 8))
    x[3, 0, 0] = 2
    with pytest.raises(
        UserError, match=r"image 3 of x in data\.file=.*from 0 to 2, beyond 0 to 1\): correct data\.range"
    ):
        array(tmp_path, ("data.range=[0,1]",), x=x).split("train")


def test_arrays_are_chosen_by_name_where_there_are_several(tmp_path):
    few = PIXELS[:4]
    arrays = {"x_train": PIXELS, "y_train": np.array(LABELS), "x_test": few, "y_test": np.array(LABELS[:4])}
    with pytest.raises(UserError, match=r"x_train uint8\[12, 16, 16, 3\], y_train .*set data\.images=x_train"):
        array(tmp_path, **arrays)
    source = array(tmp_path, ("data.test_images=x_test", "data.test_labels=y_test"), **arrays)
    assert (source.facts, source.split("train").labels.tolist()) == ([SIZE, 3, 3], LABELS)
    assert source.split("test").labels.tolist() == LABELS[:4]
    with pytest.raises(UserError, match=r"no labels of x_test.*data\.test_labels=NAME"):
        array(tmp_path, ("data.test_images=x_test",), **arrays).split("test")
    with pytest.raises(UserError, match=r"data\.images=z: .*no such array, but x_train"):
        array(tmp_path, ("data.images=z",), **arrays)
    with pytest.raises(UserError, match="which of its arrays are images in y_train"):
        array(tmp_path, ("data.images=y_train",), **arrays)
    with pytest.raises(UserError, match=r"12 images in x_train, and labels \[4\] in y_test"):
        array(tmp_path, ("data.images=x_train", "data.labels=y_test"), **arrays)


def test_labels_that_no_class_can_have_are_refused(tmp_path):
    for y, words in ((np.eye(12), "no class numbers but float64 of shape"), (np.ones(12), "no class numbers")):
        with pytest.raises(UserError, match=words):
            array(tmp_path, ("data.labels=y",), x=PIXELS, y=y)
    with pytest.raises(UserError, match=r"data\.n_classes=3, but .* has no labels of x, only x uint8"):
        array(tmp_path, ("data.n_classes=3",), x=PIXELS).split("train")
    assert array(tmp_path, x=PIXELS, y=np.arange(12), ids=np.arange(12)).facts[2] is None


def test_labels_in_a_column_are_labels(tmp_path):
    """As Keras has those of CIFAR-10."""
    for more in ((), ("data.labels=y",)):
        source = array(tmp_path, more, x=PIXELS, y=np.array(LABELS)[:, None])
        assert (source.facts[2], source.split("train").labels.tolist()) == (3, LABELS)


def test_numbers_that_are_no_classes_are_not_taken_for_labels(tmp_path):
    times = np.arange(12) + 10**9
    words = r"go from 1000000000 to 1000000011 for 12 images, too many to be classes: set .*n_classes=null if not"
    with pytest.raises(UserError, match=words):
        array(tmp_path, x=PIXELS, y=times)
    assert array(tmp_path, ("data.n_classes=null",), x=PIXELS, y=times).facts[2] is None
    shards = [(f"{n}.png", png(n)) for n in range(3)] + [(f"{n}.cls", str(10**9 + n).encode()) for n in range(3)]
    with pytest.raises(UserError, match="too many to be classes"):
        sharded(tmp_path, *shards)


def test_files_that_hold_no_arrays_are_refused(tmp_path):
    np.save(tmp_path / "whole.npy", PIXELS)
    np.savez(tmp_path / "whole.npz", x=PIXELS)
    files = {
        "text.npy": b"text",
        "cut.npy": (tmp_path / "whole.npy").read_bytes()[:-10],
        "cut.npz": (tmp_path / "whole.npz").read_bytes()[:-100],
        "pickled.npy": pickle.dumps({"x": 1}),
        "empty.npz": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} cannot be read .*name a file \.npy or \.npz") as refused:
            opened("data=arrays", f"data.file={tmp_path / name}")
        assert "pickle" not in str(refused.value).replace(name, "")
    with pytest.raises(UserError, match=r"No such file"):
        opened("data=arrays", f"data.file={tmp_path / 'none.npz'}")
    with pytest.raises(UserError, match=r"set data\.file=FILE"):
        opened("data=arrays")
    with pytest.raises(UserError, match=r"which of its arrays are images.*it has x int64\[3\]"):
        array(tmp_path, x=np.arange(3))


def test_hdf5_files_that_cannot_be_read(tmp_path, monkeypatch):
    data = in_hdf5(tmp_path)
    file = tmp_path / "images.h5"
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"images\.h5 cannot be read .*name an HDF5 file"):
        opened(*data)
    h5py = pytest.importorskip("h5py")
    with h5py.File(file, "w") as damaged:
        damaged["images"], damaged["nothing"] = PIXELS, h5py.Empty("f")
        damaged.create_dataset("labels", data=LABELS, chunks=(12,), compression="gzip")
        place = damaged["labels"].id.get_chunk_info(0)
    content = bytearray(file.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"the labels labels cannot be read .*data\.n_classes=null"):
        opened(*data)
    assert opened(*data, "data.n_classes=null").facts == [SIZE, 3, None]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"needs the package h5py.*pip install 'lit_gan\[hdf5\]'"):
        opened(*data)


def test_pictures_of_arrays_are_those_of_files():
    pictures = ArrayPictures(PIXELS, np.array(LABELS), "x", None)
    assert np.array_equal(ImageFiles(pictures, (3, 8, 8), True)[2][0], ImageFiles(pictures, (3, 8, 8), True)[2][0])
    image, label = pictures[2]
    assert (image.mode, image.size, label) == ("RGB", (SIZE, SIZE), LABELS[2])
    assert pictures.header(2) == (image.size, image.mode)


# Handles


def test_a_forked_process_opens_a_file_anew():
    handle = OwnHandle(os.getpid)
    assert handle() == handle() == os.getpid()
    queue = multiprocessing.get_context("fork").SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=lambda: queue.put((handle(), os.getpid())))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.start()
    there, pid = queue.get()
    process.join()
    assert there == pid != os.getpid()
    assert pickle.loads(pickle.dumps(handle))._opened is None


# Folders that cannot be listed


@pytest.mark.parametrize("place", ["photos", "photos/cat", "photos/cat/deep"])
def test_a_folder_of_images_that_cannot_be_listed(tmp_path, locked, place):
    arguments = in_folder(tmp_path)
    write_files(tmp_path / "photos", [("cat/deep/0.png", png(0))])
    locked(tmp_path / place)
    with pytest.raises(UserError, match=rf"^data\.root: {tmp_path / place} cannot be read \(Permission denied\): "):
        opened(*arguments)


@pytest.mark.parametrize("name", [".git", "lost+found"])
def test_a_folder_that_is_no_part_of_the_images_may_be_locked(tmp_path, locked, name):
    arguments = in_folder(tmp_path)
    (tmp_path / "photos" / name).mkdir()
    locked(tmp_path / "photos" / name)
    assert len(opened(*arguments).split("train")) == 12


@pytest.mark.parametrize(
    ("place", "pattern"), [("", "*.tar"), ("a", "*/*.tar"), ("a", "a/part-*.tar"), ("a/b", "**/*.tar")]
)
def test_a_folder_of_shards_that_cannot_be_listed(tmp_path, locked, place, pattern):
    write_tar(tmp_path / "shards" / "part-0.tar", samples(range(3)))
    write_tar(tmp_path / "shards" / "a" / "b" / "part-1.tar", samples(range(3)))
    locked(tmp_path / "shards" / place)
    with pytest.raises(UserError, match=rf"^data\.root: {tmp_path / 'shards' / place} cannot be read"):
        opened("data=webdataset", f"data.root={tmp_path / 'shards'}", f"data.train='{pattern}'")


def test_folders_beside_those_of_the_pattern_may_be_locked(tmp_path, locked):
    write_tar(tmp_path / "shards" / "part-0.tar", samples(range(3)))
    (tmp_path / "shards" / "a").mkdir()
    locked(tmp_path / "shards" / "a")
    assert len(opened("data=webdataset", f"data.root={tmp_path / 'shards'}").split("train")) == 3


def test_a_folder_that_another_library_would_leave_out(tmp_path, locked, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace())
    in_folder(tmp_path)
    locked(tmp_path / "photos" / "cat")
    with pytest.raises(UserError, match=rf"^data\.root: {tmp_path / 'photos' / 'cat'} cannot be read"):
        opened("data=hf", f"data.root={tmp_path / 'photos'}")


# Hugging Face


def test_a_name_or_a_folder():
    for more in ([], ["data.name=a/b", "data.root=/x"]):
        with pytest.raises(UserError, match=r"set one of them, data\.name=USER/SET"):
            opened("data=hf", *more)


def test_the_library_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the package datasets.*pip install 'lit_gan\[hf\]'"):
        opened("data=hf", "data.name=user/set")


class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def datasets(self):
        return pytest.importorskip("datasets", reason="pip install 'lit_gan[hf]'")

    @pytest.fixture
    def saved(self, datasets, tmp_path):
        """Saves splits with the columns of a dict of features."""

        def saved(features, columns, splits=("train",)):
            content = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
            datasets.DatasetDict(dict.fromkeys(splits, content)).save_to_disk(str(tmp_path / "saved"))
            return ["data=hf", f"data.root={tmp_path / 'saved'}"]

        return saved

    def test_a_set_that_is_not_there_is_one_sentence(self, datasets, monkeypatch):
        def offline(*_):
            logging.getLogger("huggingface_hub.utils").warning("Retrying")
            raise ConnectionError("Couldn't reach 'user/set'\non the Hub")

        log = BufferingHandler(10)  # caplog would hear a logger that does not pass on, too
        monkeypatch.setattr(logging.getLogger(), "handlers", [log])
        monkeypatch.setattr(datasets, "load_dataset", offline)
        with pytest.raises(UserError) as refused:
            opened("data=hf", "data.name=user/set")
        sentence = str(refused.value)
        assert sentence.startswith(
            "data.name=user/set is neither in the cache of the package datasets nor on the internet"
        )
        assert "ConnectionError: Couldn't reach 'user/set' on the Hub" in sentence
        assert "data.root=FOLDER" in sentence
        assert "\n" not in sentence
        assert log.buffer == []  # the library has said it already

    def test_a_name_is_asked_for_and_names_the_source(self, datasets, monkeypatch):
        features = datasets.Features(picture=datasets.Image(), kind=datasets.Value("int64"))
        images = [{"bytes": content, "path": None} for _, content in IMAGES]
        content = datasets.Dataset.from_dict({"picture": images, "kind": LABELS}, features=features)
        asked = []
        monkeypatch.setattr(datasets, "load_dataset", lambda *a: asked.append(a) or {"all": content, "test": content})
        with pytest.raises(UserError, match=r"data\.train=train: data\.name=user/set has no such split, but all, test"):
            opened("data=hf", "data.name=user/set")
        source = opened("data=hf", "data.name=user/set", "data.subset=small", "data.train=all", "data.label=kind")
        assert asked[-1] == ("user/set", "small")
        assert (source.name, source.facts, source.class_names) == ("user-set", [SIZE, 3, 3], None)
        assert sorted(source.splits) == ["test", "train"]
        assert source.split("test").labels.tolist() == LABELS

    def test_columns_that_are_unclear(self, datasets, saved):
        two, image = datasets.ClassLabel(names=["a", "b"]), {"bytes": IMAGES[0][1], "path": None}
        data = saved(
            {"x": datasets.Image(), "fine": two, "coarse": two}, {"x": [image] * 2, "fine": [0, 1], "coarse": [1, 0]}
        )
        assert opened(*data).facts == [SIZE, 3, None]
        source = opened(*data, "data.label=coarse")
        assert (source.facts[2], source.class_names, source.split("train").labels.tolist()) == (2, ["a", "b"], [1, 0])
        with pytest.raises(UserError, match=r"which column .*class labels being fine, coarse: set data\.label"):
            opened(*data, "data.n_classes=2").split("train")
        with pytest.raises(UserError, match=r"data\.label=z: .*no such column, but x, fine, coarse: .*n_classes=null"):
            opened(*data, "data.label=z")
        with pytest.raises(UserError, match=r"data\.image=fine: .*columns of images x"):
            opened(*data, "data.image=fine")

    def test_labels_and_images_that_are_missing(self, datasets, saved):
        two = datasets.ClassLabel(names=["a", "b"])
        images = [{"bytes": IMAGES[0][1], "path": None}, {"bytes": b"none", "path": None}]
        data = saved({"x": datasets.Image(), "y": two}, {"x": images, "y": [0, -1]})
        with pytest.raises(UserError, match=r"labels y of the split train go from -1 to 0.*data\.n_classes=null"):
            opened(*data, "data.image_size=8", "data.channels=3").split("train")
        with pytest.raises(UserError, match=r"train of data\.root=.*: image 1 cannot be read \(UnidentifiedImage"):
            opened(*data, "data.n_classes=null")

    def test_a_folder_that_holds_no_set(self, tmp_path):
        with pytest.raises(UserError, match="is not a folder"):
            opened("data=hf", f"data.root={tmp_path / 'none'}")
        (tmp_path / "state.json").write_text("{")
        with pytest.raises(UserError, match="cannot be read by the package datasets"):
            opened("data=hf", f"data.root={tmp_path}")


# Runs


TINY = ["++model.width=4", "batch_size=4", "trainer.accelerator=cpu", "metrics=none", "callbacks=none", "workers=0"]
TINY += ["updates_per_epoch=2", "trainer.enable_progress_bar=false"]


def call(monkeypatch, task, name: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    launch(task, name)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def recorded(run: Path) -> list:
    data = OmegaConf.load(run / ".hydra" / "config.yaml").data
    return [data.image_size, data.channels, data.n_classes, list(data.shape)]


def test_equal_data_give_equal_trainings_also_after_a_resume(tmp_path, monkeypatch):
    """Bit for bit: a folder, and a zip archive of it."""
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    conditional = [*TINY, "labels=projection"]
    call(monkeypatch, train, "train", f"hydra.run.dir={whole}", *conditional, *in_folder(tmp_path), "updates=4")
    call(monkeypatch, train, "train", f"hydra.run.dir={halved}", *conditional, *in_zip(tmp_path), "updates=2")
    assert recorded(whole) == recorded(halved) == [SIZE, 3, 3, [3, SIZE, SIZE]]
    assert "found data.image_size=16 data.channels=3 data.n_classes=3" in (whole / "train.log").read_text()
    assert json.loads((halved / "results.json").read_text())["class_names"] == list(CLASSES)
    call(monkeypatch, train, "train", f"resume={halved}", "updates=4")
    assert recorded(halved) == recorded(whole)
    there, here = weights(whole), weights(halved)
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)


@pytest.mark.long
def test_a_resume_and_a_branch_go_on_with_what_was_found(tmp_path, monkeypatch):
    """Whatever the folder holds now: images of other sizes, and another class."""
    run, branch, data = tmp_path / "run", tmp_path / "branch", in_folder(tmp_path)
    call(monkeypatch, train, "train", f"hydra.run.dir={run}", *TINY, *data, "updates=2", "data.channels=1")
    write_files(tmp_path / "photos", [("cat/large.png", png(7, size=(40, 40)))])
    call(monkeypatch, train, "train", f"resume={run}", f"hydra.run.dir={branch}", "updates=4", "optim.g.lr=1e-5")
    assert recorded(branch) == recorded(run) == [SIZE, 1, 3, [1, SIZE, SIZE]]
    write_files(tmp_path / "photos", [("cow/0.png", png(8))])
    with pytest.raises(SystemExit, match=r"data\.n_classes=3, but .* has 4 folders .*null for no labels"):
        call(monkeypatch, train, "train", f"resume={run}", "updates=4")
    call(monkeypatch, train, "train", f"resume={run}", "updates=4", "data.n_classes=null")
    assert recorded(run) == [SIZE, 1, None, [1, SIZE, SIZE]]


def test_the_number_of_classes_is_fixed_where_the_game_looks_at_labels(compose, tmp_path):
    for labels, fixed in (("labels=none", False), ("labels=projection", True)):
        old, new = (compose("data=digits", labels) for _ in range(2))
        new.data.n_classes = None
        with pytest.raises(UserError, match=r"data\.n_classes=10") if fixed else nullcontext():
            check_resume(old, new, {"data.n_classes"}, tmp_path)


@pytest.mark.long
def test_an_evaluation_finds_moved_data(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    call(monkeypatch, train, "train", f"hydra.run.dir={run}", *TINY, *in_zip(tmp_path), "updates=2")
    (tmp_path / "photos.zip").rename(tmp_path / "moved.zip")
    scored = [
        "metrics=classifier",
        "generated=12",
        "metrics.suite.extractor.updates=1",
        f"data.file={tmp_path / 'moved.zip'}",
    ]
    call(monkeypatch, evaluate, "evaluate", f"run={run}", *scored)
    assert "fid" in capsys.readouterr().out


def test_a_set_can_be_packed_beforehand(tmp_path, monkeypatch, capsys):
    call(monkeypatch, pack, "pack", *in_shards(tmp_path))
    assert f"train: 12 images, {12 * 3 * SIZE * SIZE} bytes" in capsys.readouterr().out


def test_a_resume_takes_over_what_was_found_and_an_old_run_its_defaults(compose, tmp_path):
    as_typed = compose("data=image_folder", f"data.root={tmp_path}")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "results.json").touch()
    for found in (
        {"image_size": 32, "channels": 1, "n_classes": 5},
        {"image_size": 64, "channels": 3, "n_classes": None},
    ):
        old, new, other = (copy.deepcopy(as_typed) for _ in range(3))
        old.data.update(found)
        other.data.image_size = 16
        OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
        check_same_cell(tmp_path, new)
        assert new.data.image_size == "auto"
        check_resume(old, new, set(), tmp_path)
        assert {name: new.data[name] for name in found} == found
        with pytest.raises(UserError, match=r"data\.image_size"):
            check_same_cell(tmp_path, other)
        with pytest.raises(UserError, match=r"data\.image_size"):
            check_resume(old, other, {"data.image_size"}, tmp_path)


# Metrics that fit the data


@pytest.mark.parametrize("lacking", [None, "pip install 'it'"])
@pytest.mark.parametrize(("n_classes", "shape"), [(5, [3, 64, 64]), (1, [3, 64, 64]), (None, [3, 64, 64]), (None, [2])])
def test_metrics_auto_is_what_fits_the_data(n_classes, shape, lacking, compose, monkeypatch, caplog):
    monkeypatch.setattr(EfficientNetLite0, "lacking", lambda _: lacking)
    config, like = compose("data=digits"), compose("data=digits", "metrics=classifier")
    config.data.update(n_classes=n_classes, shape=shape)
    other = config.metrics.without_labels.copy()
    with caplog.at_level(logging.INFO, "lit_gan"):
        complete_metrics(config)
    if n_classes == 5 or len(shape) == 1:  # which the classifier itself refuses
        assert (config.metrics, caplog.text) == (like.metrics, "")
    else:
        like.metrics.suite = None if lacking else other
        assert config.metrics == like.metrics
        assert "because the data have no labels" in caplog.text
        assert ("no scores" in caplog.text, "pip install 'it'" in caplog.text) == (bool(lacking), bool(lacking))


def test_chosen_metrics_are_left_alone(compose):
    config = compose("data=stl10", "metrics=classifier")
    before = copy.deepcopy(config)
    complete_metrics(config)
    assert config == before


def test_a_resume_and_a_cell_have_the_metrics_that_were_found_to_fit(compose, tmp_path):
    new = compose("data=stl10")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "results.json").touch()
    for suite in (new.metrics.suite, new.metrics.without_labels, None):
        old, resumed = copy.deepcopy(new), copy.deepcopy(new)
        with open_dict(old):
            del old.metrics.without_labels
        old.metrics.suite = suite
        OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
        check_same_cell(tmp_path, new)
        check_resume(old, resumed, set(), tmp_path)
        assert resumed.metrics == old.metrics
    old = compose("data=stl10", "metrics=inception")
    OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
    with pytest.raises(UserError, match=r"metrics\.suite"):
        check_same_cell(tmp_path, new)


class Counted(Source):
    """Points that say how many they are."""

    before_found = MappingProxyType({"points": 0})

    def __init__(self, name, shape, n_classes, points, kind):
        super().__init__(name, shape, n_classes)
        self.points = points

    def found(self, wanted):
        assert self.points == 0
        return dict.fromkeys(wanted, 7)


def test_a_data_set_of_ones_own_says_what_it_can_find_out():
    """Another setting of it may have an "auto" of its own."""
    data = {"_target_": f"{__name__}.Counted", "name": "own", "shape": [2], "n_classes": None}
    config = OmegaConf.create({"data": data | {"points": "auto", "kind": "auto"}})
    complete_data(config)
    assert (config.data.points, config.data.kind) == (7, "auto")
