"""Packs: decoded once for all processes, gone on with after a kill, refused in a sentence, and read as files are."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf, open_dict
from PIL import Image

from lit_gan.cli.launch import launch
from lit_gan.data import packed as packs
from lit_gan.data.folder import ImageFolder
from lit_gan.data.module import FetchedAhead, GANData, Gather
from lit_gan.data.packed import Packed
from lit_gan.data.sampler import Batches, EndlessSampler
from lit_gan.data.source import BrokenImage, ImageFiles, StoredSplit
from lit_gan.errors import UserError
from lit_gan.metrics.reading import read_batches
from lit_gan.records.files import Unwritable
from lit_gan.records.resume import check_resume
from lit_gan.sweep.same_cell import check_same_cell
from lit_gan.tasks.pack import pack

SIZE = 8
IMAGE = 3 * SIZE * SIZE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder; a block holds four images."""
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packs, "BLOCK", 4 * IMAGE)
    return tmp_path / "cache" / "packs"


@pytest.fixture
def photos(tmp_path):
    """Eighteen images in two class folders, larger than they are read."""
    for number in range(18):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def folder(root: Path, **settings) -> ImageFolder:
    arguments = {"n_classes": 2, "on_broken": "error", "in_memory": 0, "pack": True, **settings}
    return ImageFolder("image_folder", SIZE, 3, (3, SIZE, SIZE), root=root, **arguments)


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.fixture
def decodings(monkeypatch):
    """How often each image is decoded."""
    counts, whole = Counter(), ImageFiles.__getitem__

    def counting(self, index):
        counts[int(index)] += 1
        return whole(self, index)

    monkeypatch.setattr(ImageFiles, "__getitem__", counting)
    return counts


# What a pack holds


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pack_holds_what_the_files_hold(photos, channels, decodings):
    arguments = {"n_classes": 2, "on_broken": "error", "in_memory": 0}
    files, split = (
        ImageFolder("x", SIZE, channels, (channels, SIZE, SIZE), root=photos, pack=pack, **arguments).split("train")
        for pack in (False, True)
    )
    assert isinstance(files, ImageFiles)
    assert isinstance(split, Packed)
    assert decodings == dict.fromkeys(range(18), 1)
    assert torch.equal(split.images, torch.stack([x for x, _ in files]))
    assert split.labels.tolist() == [y for _, y in files] == [0] * 9 + [1] * 9


def test_scores_know_packed_images_for_those_in_memory(photos, monkeypatch):
    packed, kept = (folder(photos, in_memory=bytes).split("train") for bytes in (0, 18 * IMAGE))
    monkeypatch.setattr(StoredSplit, "HASHED_AT_ONCE", 5)
    assert packed.fingerprint() == kept.fingerprint()
    monkeypatch.delattr(StoredSplit, "_fingerprint")
    assert folder(photos).split("train").fingerprint() == packed.fingerprint()  # read from the pack


def test_a_fingerprint_that_cannot_be_kept_is_found_anyway(photos, monkeypatch):
    packed, refused = folder(photos).split("train"), Unwritable("packs/fingerprint cannot be written")
    monkeypatch.setattr(packs, "write_text", Mock(side_effect=refused))
    assert packed.fingerprint() == folder(photos, in_memory=18 * IMAGE).split("train").fingerprint()
    assert not (packed.folder / "fingerprint").exists()


def test_what_fits_into_memory_is_not_packed(photos, cache):
    assert type(folder(photos, in_memory=18 * IMAGE).split("train")) is StoredSplit
    assert isinstance(folder(photos, in_memory=18 * IMAGE - 1).split("train"), Packed)
    assert len(list(cache.glob("*.lock"))) == 1


def test_batches_of_a_pack_lie_in_channels_last_in_memory_of_their_own(photos):
    split = folder(photos).split("train")
    ((x, y),) = read_batches(split, torch.tensor([17, 0, 3]), 3)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, torch.stack([split[i][0] for i in (17, 0, 3)]))
    assert y.tolist() == [1, 0, 0]
    x.zero_()
    assert split.images.any()


def test_a_second_process_finds_the_pack_where_the_data_were_moved(photos, tmp_path, decodings):
    folder(photos).split("train")
    photos.rename(tmp_path / "moved")
    again = folder(tmp_path / "moved").split("train")
    assert len(again) == 18
    assert decodings == dict.fromkeys(range(18), 1)


@pytest.mark.parametrize("change", ["content", "size", "labels"])
def test_another_content_or_way_to_decode_is_another_pack(photos, change, cache):
    first = folder(photos).split("train").folder
    if change == "content":
        shutil.copy(photos / "a" / "00.png", photos / "a" / "02.png")
    source = {
        "content": folder(photos),
        "size": ImageFolder("image_folder", 4, 3, (3, 4, 4), 2, photos, "error", 0, pack=True),
        "labels": folder(photos, n_classes=None),
    }[change]
    assert source.split("train").folder != first
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2


def test_a_cut_pack_is_made_again(photos):
    split = folder(photos).split("train")
    expected = split.images.clone()
    os.truncate(split.folder / "images", IMAGE)
    assert torch.equal(folder(photos).split("train").images, expected)


# Interruptions and other processes


def pack_until_killed(photos):
    """Packs images and is killed at the fourteenth."""
    whole = ImageFiles.__getitem__

    def decode(self, index):
        if index == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, index)

    ImageFiles.__getitem__ = decode
    folder(photos).split("train")


def killed_packer(photos):
    """The exit code of a process that packs images until it is killed."""
    process = multiprocessing.get_context("fork").Process(target=pack_until_killed, args=(photos,))
    process.start()
    process.join()
    return process.exitcode


def test_a_killed_packer_is_gone_on_from(photos, cache, decodings):
    assert killed_packer(photos) == -signal.SIGKILL
    (part,) = cache.glob("*.part")
    assert (part / "images").stat().st_size == 12 * IMAGE
    with (part / "images").open("ab") as file:
        file.write(b"torn")
    with (part / "rows").open("ab") as file:
        file.write(b"torn")
    split = folder(photos).split("train")
    assert decodings == dict.fromkeys(range(12, 18), 1)
    assert not list(cache.glob("*.part"))
    files = folder(photos, pack=False).split("train")
    assert torch.equal(split.images, torch.stack([x for x, _ in files]))
    assert split.labels.tolist() == [y for _, y in files]


def pack_slowly(photos, barrier, counts, said):
    torch.set_num_threads(1)
    packs.BLOCK, whole = 4 * IMAGE, ImageFiles.__getitem__

    def slow(self, index):
        counts.put(index)
        time.sleep(0.05)
        return whole(self, index)

    ImageFiles.__getitem__ = slow
    packs.log.info = lambda text, *_: said.put(text)
    barrier.wait()
    sys.exit(len(folder(photos).split("train")) != 18)


def drain(queue):
    found = []
    while not queue.empty():
        found.append(queue.get())
    return found


def test_one_process_packs_while_the_others_wait_and_say_so(photos):
    context = multiprocessing.get_context("fork")
    barrier, counts, said = context.Barrier(3), context.Manager().Queue(), context.Manager().Queue()
    processes = [context.Process(target=pack_slowly, args=(photos, barrier, counts, said)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(drain(counts)) == list(range(18))
    assert sum("another process packs" in text for text in drain(said)) == 2


# Broken images


def test_a_broken_image_stops_the_packing_and_is_left_out_on_demand(photos, cache, decodings, caplog):
    spoil(photos / "a" / "12.png")  # the seventh
    with pytest.raises(BrokenImage, match=r"a/12\.png is not a readable image .* data.on_broken=skip"):
        folder(photos).split("train")
    decodings.clear()
    split = folder(photos, on_broken="skip").split("train")
    assert decodings == dict.fromkeys(range(4, 18), 1)  # the first block was kept
    assert "skipped 1 broken of 18 images, first" in caplog.text
    assert split.labels.tolist() == [0] * 8 + [1] * 9
    good = folder(photos, on_broken="skip", pack=False).split("train")
    assert torch.equal(split.images, torch.stack([x for x, _ in good]))
    assert split.fingerprint() != folder(photos, pack=False).split("train").fingerprint()
    with pytest.raises(BrokenImage, match=r"a/12\.png"):
        folder(photos).split("train")


@pytest.mark.parametrize("on_broken", ["error", "skip"])
def test_an_image_that_can_be_read_again_is_packed(photos, cache, on_broken):
    path = photos / "a" / "12.png"
    whole = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        opened = Image.open
        patch.setattr(Image, "open", lambda file: 1 / 0 if file == path else opened(file))
        assert len(folder(photos, on_broken="skip").split("train")) == 17
    assert path.read_bytes() == whole
    assert len(folder(photos, on_broken=on_broken).split("train")) == 18
    assert len(list(cache.glob("*px-*[0-9a-f]"))) == 1


def test_images_that_are_all_broken_are_refused(photos):
    for path in photos.rglob("*.png"):
        spoil(path)
    with pytest.raises(UserError, match=r"has no readable images .*18 broken"):
        folder(photos, on_broken="skip").split("train")


# Refusals


def test_a_disk_that_is_too_small_is_refused_with_the_bytes(photos, cache, monkeypatch):
    needed = 18 * (IMAGE + 16)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(UserError, match=rf"data=image_folder needs {needed:,} bytes in {cache}, .*data.pack=false"):
        folder(photos).split("train")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    assert len(folder(photos).split("train")) == 18


def test_only_what_is_still_to_be_packed_needs_room(photos, monkeypatch):
    killed_packer(photos)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=6 * (IMAGE + 16)))
    assert len(folder(photos).split("train")) == 18


def test_a_disk_that_fills_up_is_one_sentence_and_loses_nothing(photos, monkeypatch, decodings):
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left on device\): make room there, or set LIT_GAN_CACHE"):
        folder(photos).split("train")
    decodings.clear()
    assert len(folder(photos).split("train")) == 18
    assert set(decodings) == set(range(8, 18))


def test_a_cache_folder_that_cannot_be_written_is_one_sentence(photos, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(UserError, match=r"data=image_folder cannot be packed, .*set LIT_GAN_CACHE.*data.pack=false"):
        folder(photos).split("train")


# Reading ahead


def test_the_next_batch_is_fetched_while_the_step_computes():
    fetched, wanted = [], threading.Event()

    def batches():
        for number in range(3):
            fetched.append((number, threading.current_thread()))
            if number == 1:
                wanted.set()
            yield torch.tensor([number]), torch.tensor([number])

    stream = iter(FetchedAhead(batches(), pinned=False))
    x, _ = next(stream)
    assert wanted.wait(10)  # nobody has asked for the second one
    assert [x.item(), next(stream)[0].item()] == [0, 1]
    assert threading.main_thread() not in {thread for _, thread in fetched}


def test_batches_fetched_ahead_start_where_the_position_stands_and_bring_errors():
    position, data = 4, torch.arange(10)
    ahead = FetchedAhead(Gather(data, data, Batches(EndlessSampler(10, seed=0), 4, lambda: position)), pinned=False)
    order = EndlessSampler(10, seed=0).take(0, 100)
    first = iter(ahead)
    assert torch.equal(torch.cat([next(first)[0], next(first)[0]]), order[4:12])
    position = 20
    assert torch.equal(next(iter(ahead))[0], order[20:24])
    with pytest.raises(ZeroDivisionError):
        next(iter(FetchedAhead((1 / 0 for _ in [1]), pinned=False)))


def test_a_pack_is_read_ahead_unless_it_lies_on_the_device(photos):
    for device_memory, kind in ((18 * IMAGE - 1, FetchedAhead), (18 * IMAGE, Gather)):
        data = GANData(folder(photos), 4, seed=0, device_memory=device_memory)
        strategy = SimpleNamespace(root_device=torch.device("meta"))
        data.trainer = SimpleNamespace(global_rank=0, world_size=1, global_step=0, strategy=strategy)
        assert type(data.train_dataloader()) is kind


# The command, runs and sweeps


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["pack", *map(str, arguments)])
    launch(pack, "pack")


def test_the_command_says_where_the_pack_lies_and_a_run_reads_it(photos, cache, monkeypatch, capsys, decodings):
    here = ["data=image_folder", f"data.root={photos}", f"data.image_size={SIZE}", "data.n_classes=null"]
    run(monkeypatch, *here)
    said = capsys.readouterr().out
    (place,) = (path for path in cache.iterdir() if path.is_dir())
    assert (
        f"train: 18 images, {18 * IMAGE} bytes, in {place}; runs read it with data.in_memory={18 * IMAGE - 1}" in said
    )
    assert "images/s" in said
    assert folder(photos, n_classes=None, endings=None).split("train").folder == place
    run(monkeypatch, *here, "data.in_memory=0")
    assert capsys.readouterr().out.splitlines()[-1] == f"train: 18 images, {18 * IMAGE} bytes, in {place}"
    assert decodings == dict.fromkeys(range(18), 1)


def test_the_command_refuses_what_has_no_files(monkeypatch):
    with pytest.raises(SystemExit, match="data=gaussians has no image files"):
        run(monkeypatch, "data=gaussians")


def test_a_run_from_before_goes_on_without_a_pack_unless_it_is_asked_for(compose, tmp_path):
    for overrides in (["data=image_folder", f"data.root={tmp_path}"], ["data=stacked_mnist"]):
        old, new = compose(*overrides), compose(*overrides)
        place = OmegaConf.select(old, "data.base") or old.data
        with open_dict(place):
            del place["pack"]
        check_resume(old, new, set(), tmp_path)
        assert "pack" not in (OmegaConf.select(new, "data.base") or new.data)
    asked = compose(*overrides)
    check_resume(old, asked, {"data.base.pack"}, tmp_path)
    assert asked.data.base.pack


def test_a_cell_from_before_is_the_same_cell(compose, tmp_path):
    old = compose("data=image_folder", f"data.root={tmp_path}")
    with open_dict(old.data):
        del old.data["pack"]
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "results.json").touch()
    OmegaConf.save(old, tmp_path / ".hydra" / "config.yaml")
    check_same_cell(tmp_path, compose("data=image_folder", f"data.root={tmp_path}"))
    with pytest.raises(UserError, match=r"data\.image_size"):
        check_same_cell(tmp_path, compose("data=image_folder", f"data.root={tmp_path}", "data.image_size=32"))
