"""Files of images: every one comes out as pixels or is named; which are used; what a cached statistic is keyed by."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor, ImageOps
from torchvision.transforms.functional import resize

from lit_gan.data.folder import ImageFolder
from lit_gan.data.image_files import FilePictures, natural_key, pillow_endings, sampled_hash
from lit_gan.data.source import BrokenImage, DatasetPictures, ImageFiles, as_pixels
from lit_gan.errors import UserError

YAML = {"class_order": "natural", "split_folders": None, "endings": None}
"""What conf/data/image_folder.yaml says."""


def folder(root: Path, channels: int = 3, **choices) -> ImageFolder:
    arguments = {"n_classes": None, "on_broken": "error", "in_memory": 10**9, **YAML, **choices}
    return ImageFolder("image_folder", 8, channels, (channels, 8, 8), root=root, **arguments)


def save(path: Path, color: str = "red", size: tuple[int, int] = (8, 8), **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


# The centre square


@pytest.mark.parametrize("size", [(33, 32), (32, 33), (33, 36), (65, 32), (32, 32)])
def test_the_centre_square_consists_of_whole_pixels(size):
    """Between the rows 0 to 31 and 1 to 32 of 33 the square is the first, not the mean of both."""
    image, side = noise(*size), min(size)
    pixels = np.asarray(image)
    left, upper = (size[0] - side) // 2, (size[1] - side) // 2
    assert np.array_equal(as_pixels(image, 3, side).permute(1, 2, 0), pixels[upper : upper + side, left : left + side])


@pytest.mark.parametrize("size", [(36, 32), (178, 218), (500, 374)])
def test_squares_at_an_even_distance_are_as_pillow_cuts_them(size):
    expected = ImageOps.fit(noise(*size), (64, 64), Image.Resampling.BILINEAR)
    assert np.array_equal(as_pixels(noise(*size), 3, 64).permute(1, 2, 0), expected)


@pytest.mark.parametrize("size", [(500, 375), (217, 178), (101, 300)])
def test_odd_squares_are_cut_first_and_resized_then(size):
    """As torchvision cuts and resizes them, but for 2 pixels at the border, whose filter reaches beyond the square."""
    side, left, upper = min(size), (size[0] - min(size)) // 2, (size[1] - min(size)) // 2
    square = noise(*size).crop((left, upper, left + side, upper + side))
    expected = torch.from_numpy(np.array(resize(square, [64, 64]))).permute(2, 0, 1)
    found = as_pixels(noise(*size), 3, 64)
    assert ((found.int() - expected.int()).abs()[:, 2:-2, 2:-2] <= 1).all()  # they round differently


# Whatever a file contains

MODES = (
    *("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa"),
    *("I;16", "I;16L", "I;16B", "I;16N"),
)


def written(folder: Path, mode: str) -> list[Path]:
    """An image of a mode in every format that Pillow writes and reads."""
    Image.init()
    formats = {Image.registered_extensions()[ending]: ending for ending in pillow_endings() if ending != ".mpo"}
    files = []
    for name in sorted(formats.keys() & Image.SAVE.keys()):
        path = folder / f"{name}{formats[name]}"
        try:
            Image.new(mode, (7, 9)).save(path, name)
            files.append(path)
        except Exception:  # nearly as many kinds as formats
            path.unlink(missing_ok=True)
    return files


def comes_out(path: Path, channels: int) -> bool:
    """Whether a file comes out as pixels; it must be named otherwise."""
    try:
        pixels, _ = ImageFiles(FilePictures([path], [0]), (channels, 8, 8), False)[0]
    except BrokenImage as error:
        if str(path) not in str(error):
            raise
        return False
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (channels, 8, 8))
    return True


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_in_every_format_comes_out_as_pixels_or_is_named(tmp_path, mode, channels):
    files = written(tmp_path, mode)
    fine = [path for path in files if comes_out(path, channels)]
    assert len(files) - len(fine) <= (len(files) if mode == "F" else 1)  # Pillow writes one icon that it cannot read
    if fine:
        assert len(folder(tmp_path, channels, on_broken="skip").split("train")) == len(fine)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_but_floating_point_becomes_grey_and_colour(mode, channels):
    assert as_pixels(Image.new(mode, (7, 9)), channels, 8).shape == (channels, 8, 8)


def damaged(kind: str, cut: int, place: int, byte: int) -> bytes:
    """A file with a byte changed, cut off."""
    buffer = io.BytesIO()
    noise(9, 7).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    content[place % len(content)] = byte
    return bytes(content[: len(content) - cut % len(content)])


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "JPEG2000", "PPM", "ICO", "TGA", "AVIF"]),
    cut=st.one_of(st.just(0), st.integers(0, 2000)),
    place=st.integers(0, 2000),
    byte=st.integers(0, 255),
    channels=st.sampled_from([1, 3]),
)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_comes_out_as_pixels_or_is_named(tmp_path_factory, kind, cut, place, byte, channels):
    if kind not in Image.SAVE:
        return
    path = tmp_path_factory.mktemp("damaged") / "a.png"
    path.write_bytes(damaged(kind, cut, place, byte))
    comes_out(path, channels)


def too_large(path: Path) -> None:
    noise(90, 90).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(content)


ODD = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not an image"),
    "float": lambda path: Image.new("F", (8, 8)).save(path, "TIFF"),
    "deep": lambda path: Image.fromarray(np.full((8, 8), 3_000_000, np.int32)).save(path, "TIFF"),
    "negative": lambda path: Image.fromarray(np.full((8, 8), -3, np.int32)).save(path, "TIFF"),
    "bomb": too_large,
    "lost": lambda path: path.symlink_to("nowhere"),
}
FINE = {
    "one pixel wide": lambda path: Image.new("RGB", (1, 50)).save(path),
    "one pixel": lambda path: Image.new("L", (1, 1)).save(path),
    "lab": lambda path: Image.new("LAB", (8, 8)).save(path, "TIFF"),
    "cmyk": lambda path: Image.new("CMYK", (8, 8)).save(path, "JPEG"),
    "animated": lambda path: noise(8, 8).save(path, "GIF", save_all=True, append_images=[noise(8, 8).rotate(90)]),
    "palette": lambda path: noise(8, 8).quantize(4).save(path, transparency=1),
}


def everything(source: ImageFolder) -> list[torch.Tensor]:
    """All images of a folder."""
    data = source.split("train")
    return [data[i][0] for i in range(len(data))]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("in_memory", [0, 10**9])
@pytest.mark.parametrize("name", ODD)
def test_a_broken_file_is_named_or_skipped_alone(tmp_path, name, channels, in_memory, caplog):
    ODD[name](tmp_path / "odd.png")
    for number, make in enumerate(FINE.values()):
        make(tmp_path / f"{number}.png")
    with pytest.raises(BrokenImage, match=r"odd\.png is not a readable image"):
        everything(folder(tmp_path, channels, in_memory=in_memory))
    skipped = everything(folder(tmp_path, channels, in_memory=in_memory, on_broken="skip"))
    assert len(skipped) == len(FINE)
    assert "odd.png" in caplog.text


def test_numbers_of_no_known_scale_are_not_made_white(tmp_path):
    ODD["deep"](tmp_path / "a.tif")
    with pytest.raises(BrokenImage, match=r"a\.tif .*from 3000000 to 3000000, of no known scale"):
        folder(tmp_path).split("train")


def test_a_photo_whose_exif_data_cannot_be_written_is_fine(tmp_path):
    entries = struct.pack("<HHI4s", 0x0101, 6, 1, b"\xff\0\0\0") + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + bytes(4)
    photo = Image.new("RGB", (8, 8), "black")
    photo.paste("white", (0, 0, 4, 8))
    photo.save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))
    x = folder(tmp_path).split("train").images[0]
    assert (x[:, :4] > 200).all()
    assert (x[:, 4:] < 50).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise(8, 8).save(tmp_path / "a.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    assert np.array_equal(folder(tmp_path).split("train").images[0].permute(1, 2, 0), expected)


class Torn:
    """A data set of another library with a damaged image."""

    classes = ("a", "b")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1:  # as Pillow words it, without the file
            raise OSError("image file is truncated")
        return Image.new("RGB", (8, 8)), 0


def test_a_damaged_image_of_another_librarys_set_is_named():
    with pytest.raises(BrokenImage, match=r"data=torn: image 1 cannot be read \(OSError: image file is truncated\)"):
        ImageFiles(DatasetPictures(Torn(), "data=torn"), (3, 8, 8), False)[1]


@pytest.mark.parametrize(
    ("attribute", "names"),
    [("filename", ["a.jpg", "b.jpg", "c.jpg"]), ("samples", [("a.jpg", 0), ("b.jpg", 0), ("c.jpg", 0)])],
)
def test_a_damaged_file_of_another_librarys_set_is_named(attribute, names):
    torn = Torn()
    setattr(torn, attribute, names)
    with pytest.raises(BrokenImage, match=r"data=torn: b\.jpg cannot be read"):
        ImageFiles(DatasetPictures(torn, "data=torn"), (3, 8, 8), False)[1]


# Which files are used


def test_every_image_that_pillow_reads_is_used_and_the_others_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("a.jpg", "b.avif", "c.jp2", "d.PNG", "e.tga"):
        save(tmp_path / name)
    for name in ("notes.txt", "more.txt", "raw.heic", "README", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    assert len(folder(tmp_path).split("train")) == 5
    assert "5 of 10 files (left out: 2 .txt, " in caplog.text
    assert all(part in caplog.text for part in ("1 .heic", "1 without an ending", "1 hidden"))
    assert len(folder(tmp_path, endings=["jpg", ".PNG"]).split("train")) == 2
    with pytest.raises(UserError, match=r"data\.endings=png is no list of endings: write data\.endings=\[\.png"):
        folder(tmp_path, endings="png")


def test_documents_and_films_are_no_images():
    assert {".png", ".jpg", ".tif", ".mpo"} < set(pillow_endings())
    assert not {".eps", ".mpg", ".h5", ".pdf", ".wmf", ".txt"} & set(pillow_endings())


def animals(root: Path, *names: str) -> Path:
    for name in names:
        save(root / name / "a.png")
        save(root / name / "b.png", "blue")
    return root


def test_a_class_called_train_is_not_taken_for_a_split(tmp_path):
    animals(tmp_path, "train", "cat", "dog")
    with pytest.raises(UserError, match=r"folder train beside cat, dog, so that it may be a split or a class"):
        folder(tmp_path).split("train")
    every = folder(tmp_path, split_folders=False, n_classes=3)
    assert len(every.split("train")) == 6
    assert every.class_names == ["cat", "dog", "train"]
    assert len(folder(tmp_path, split_folders=True).split("train")) == 2


def test_images_beside_the_splits_are_not_left_out_in_silence(tmp_path, caplog):
    caplog.set_level("INFO")
    animals(tmp_path, "train", "test", "val")
    (tmp_path / "notes.txt").write_text("")
    assert {which: len(folder(tmp_path).split(which)) for which in ("train", "test")} == {"train": 2, "test": 2}
    assert f"not used, because beside the splits of {tmp_path}: val" in caplog.text
    save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"beside a\.png, val"):
        folder(tmp_path).split("train")


# The names of the classes


def test_class_folders_are_counted_in_natural_order(tmp_path):
    animals(tmp_path, *(str(number) for number in range(12)))
    names = folder(tmp_path, n_classes=12).class_names
    assert names == [str(number) for number in range(12)]
    assert folder(tmp_path, n_classes=12, class_order="alphabetical").class_names == sorted(names)
    assert folder(tmp_path).class_names is None
    labels = folder(tmp_path, n_classes=12).split("train").labels
    assert labels.tolist() == [0, 0, 1, 1, 10, 10, 11, 11, *(n for n in range(2, 10) for _ in range(2))]


def test_natural_order():
    names = ["n10", "n9", "b", "n9a", "10", "9", "", "n09", "n9b2", "B"]
    assert sorted(names, key=natural_key) == ["", "9", "10", "B", "b", "n09", "n9", "n9a", "n9b2", "n10"]


def test_a_folder_of_a_run_from_before_these_settings_is_read_as_it_was(tmp_path):
    """Its config has none of them."""
    animals(tmp_path, "train", "2", "10")
    save(tmp_path / "train" / "10" / "a.png")
    save(tmp_path / "train" / "2" / "a.png")
    save(tmp_path / "train" / "2" / "a.avif")
    arguments = {"n_classes": None, "on_broken": "error", "in_memory": 10**9}
    (tmp_path / "train" / "a.png").unlink()
    (tmp_path / "train" / "b.png").unlink()
    old = ImageFolder("image_folder", 8, 3, (3, 8, 8), root=tmp_path, **arguments | {"n_classes": 2})
    assert old.class_names == ["10", "2"]
    assert len(old.split("train")) == 2


# What cached statistics are keyed by


def twin_folders(tmp_path: Path, ending: str, size: int) -> list[Path]:
    """Two folders with the same names, sizes and times, and other pictures."""
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for number in range(3):
            path = tmp_path / name / f"{number}{ending}"
            Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
            path.write_bytes(path.read_bytes().ljust(4 * size * size + 5000, b"\0"))
            os.utime(path, (1, 1))
    return [tmp_path / "x", tmp_path / "y"]


@pytest.mark.parametrize(("ending", "size"), [(".bmp", 8), (".bmp", 90), (".png", 8), (".png", 90)])
def test_two_folders_that_differ_only_in_their_pictures_are_two_data_sets(tmp_path, ending, size):
    folders = twin_folders(tmp_path, ending, size)
    facts = [[(p.name, p.stat().st_size, p.stat().st_mtime) for p in sorted(f.iterdir())] for f in folders]
    assert facts[0] == facts[1]
    first, second = (folder(place, in_memory=0).split("train").fingerprint() for place in folders)
    assert first != second
    folders[0].rename(tmp_path / "moved")
    assert folder(tmp_path / "moved", in_memory=0).split("train").fingerprint() == first


def test_one_changed_pixel_of_a_file_without_compression_is_another_data_set(tmp_path):
    noise(90, 90).save(tmp_path / "a.bmp")
    before = folder(tmp_path, in_memory=0).split("train").fingerprint()
    image = Image.open(tmp_path / "a.bmp")
    image.load()
    image.putpixel((20, 33), (1, 2, 3))
    image.save(tmp_path / "a.bmp")
    assert folder(tmp_path, in_memory=0).split("train").fingerprint() != before


def test_labels_are_part_of_what_a_data_set_is(tmp_path):
    animals(tmp_path, "2", "10")
    keys = {
        folder(tmp_path, in_memory=0, n_classes=2, class_order=order).split("train").fingerprint()
        for order in ("natural", "alphabetical")
    }
    assert len(keys) == 2


class Pair:
    """A data set of another library with two images."""

    def __init__(self, color):
        self.color = color

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return Image.new("RGB", (8, 8), ("red", self.color)[index]), 0


class Palettes(Pair):
    """Two images of the same palette indices."""

    def __getitem__(self, index):
        image = Image.new("P", (8, 8), 1)
        image.putpalette([0, 0, 0, *ImageColor.getrgb(("red", self.color)[index])])
        return image, 0


@pytest.mark.parametrize("kind", [Pair, Palettes])
def test_sets_of_another_library_are_told_apart_by_their_pictures(kind):
    keys = [
        ImageFiles(DatasetPictures(kind(color), "data=pair"), (3, 8, 8), False).fingerprint()
        for color in ("green", "blue", "green")
    ]
    assert keys[0] == keys[2] != keys[1]


def test_a_sample_of_a_compressed_file_is_three_blocks(tmp_path, monkeypatch):
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, n, start: read.append(n) or pread(file, n, start))
    (tmp_path / "a.jpg").write_bytes(os.urandom(10**6))
    before = sampled_hash(tmp_path / "a.jpg")
    assert read == [4096] * 3
    (tmp_path / "a.jpg").write_bytes(os.urandom(10**6))
    assert sampled_hash(tmp_path / "a.jpg") != before
    assert sampled_hash(tmp_path / "none.jpg") == b"missing"
