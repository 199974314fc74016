"""The Lightning data module: endless training batches that go on exactly where a run stopped."""

import logging
import multiprocessing
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lit_gan.data.own_images import class_numbers
from lit_gan.data.packed import Packed
from lit_gan.data.sampler import Batches, EndlessSampler
from lit_gan.data.scale import dequantize, flipped
from lit_gan.data.source import ImageFiles, Source, StoredSplit, rows
from lit_gan.errors import UserError, first_few
from lit_gan.system.signals import leave_to_parent

log = logging.getLogger(__name__)


class Gather:
    """Batches (x, y) gathered from tensors, on the device where these are."""

    def __init__(self, images: Tensor, labels: Tensor, batches: Batches):
        self.images, self.labels, self.batches = images, labels, batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels [b, *shape] and labels [b], without end."""
        for index in self.batches:
            yield rows(self.images, index), rows(self.labels, index)


class FetchedAhead:
    """Batches (x, y), of which a thread fetches the next one while the training step computes.

    It fetches a batch that is not used in this epoch. That changes nothing: the position of the
    next epoch, or of a resumed run, is counted by updates and not by batches.

    Args:
        batches: begin anew, where the position then stands, with each `iter()`.
        pinned: whether they are put into pinned memory, from which a GPU copies at once.
    """

    def __init__(self, batches: Iterable[tuple[Tensor, Tensor]], pinned: bool):
        self.batches, self.pinned = batches, pinned

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels [b, *shape] and labels [b], without end."""
        batches = iter(self.batches)
        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(self._fetch, batches)
            while True:
                batch = ahead.result()
                ahead = thread.submit(self._fetch, batches)
                yield batch

    def _fetch(self, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        x, y = next(batches)
        return in_pinned_memory(x, y) if self.pinned else (x, y)


def in_pinned_memory(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A batch where a GPU can copy it from at once."""
    return x.pin_memory(), y.pin_memory()


class FileLoader(DataLoader):
    """Batches (x, y) of files, without end, decoded by other processes.

    The batches come from them through a pipe, as arrays. Tensors would come through /dev/shm, of
    which a container has 64 MB and in which a full disk is a bus error, and through sockets in
    TMPDIR, whose names must be shorter than 108 characters; where they are longer, torch waits for
    ever.
    """

    def __init__(self, files: ImageFiles, batches: Batches, workers: int, pinned: bool):
        super().__init__(
            files,
            batch_sampler=WholeNumbers(batches),
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
            worker_init_fn=leave_to_parent,
            generator=torch.Generator(),  # else every iter() would draw from the global one
        )
        self.pinned = pinned

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels [b, c, h, w] and labels [b], in pinned memory where that is asked for.

        Raises:
            UserError: the processes cannot be started.
        """
        try:
            if self.num_workers:
                multiprocessing.Event()  # torch prints a traceback where it fails to make its own
            batches = super().__iter__()
        except OSError as error:
            raise UserError(
                f"workers={self.num_workers}: no process that reads images can be started ({error.strerror}): make "
                f"room in memory and in /dev/shm, or set workers=0 to read in the training process itself."
            ) from error
        for arrays in batches:
            pixels, labels = (torch.from_numpy(array) for array in arrays)
            yield in_pinned_memory(pixels, labels) if self.pinned else (pixels, labels)


class WholeNumbers:
    """Batches of indices as lists of integers, which a DataLoader expects of its batch sampler."""

    def __init__(self, batches: Batches):
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        """One list after the other."""
        return (index.tolist() for index in self.batches)


def collate(items: list[tuple[Tensor, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as arrays [b, c, h, w] and [b]."""
    pixels, labels = zip(*items, strict=True)
    return torch.stack(pixels).numpy(), np.array(labels)


def lost_process(error: RuntimeError, workers: int) -> UserError | None:
    """The error that names the setting, if a process that decodes images was killed; else None."""
    if "DataLoader worker" not in str(error):
        return None
    return UserError(
        f"workers={workers}: one of the processes that read images was killed ({str(error).split('. ')[0]}), most "
        f"often because memory was short: set workers to a smaller number, 0 to read in the training process itself."
    )


class GANData(LightningDataModule):
    """Real images for training; one batch is what one generator update needs, over all ranks.

    An epoch of the trainer is an interval between evaluations and has nothing to do with passes
    over the data: it begins at the position that the updates made so far have reached. That
    position is part of the checkpoint.

    Args:
        source: the data set.
        images_per_update: n_dis x batch_size.
        seed: decides the order of the images.
        flips: whether half of the images are mirrored, see `lit_gan.data.scale.flipped`. The order of
            the images, and the real ones that metrics look at, stay as they are.
        dequantize: whether `lit_gan.data.scale.dequantize` scales pixels, instead of
            `source.samples`.
        num_workers: processes that decode images that neither fit into memory nor are packed.
        device_memory: decoded images of at most this many bytes are kept on the training device.
        train_images: so many of the training images, a random choice that `seed` decides, are all
            that the players see; None for all images. `source` goes on having all.
    """

    def __init__(
        self,
        source: Source,
        images_per_update: int,
        seed: int,
        flips: bool = False,
        dequantize: bool = False,
        num_workers: int = 0,
        device_memory: int = 2**30,
        train_images: int | None = None,
    ):
        super().__init__()
        self.source, self.images_per_update, self.seed = source, images_per_update, seed
        self.flips, self.dequantize = flips, dequantize
        self.num_workers, self.device_memory, self.train_images = num_workers, device_memory, train_images
        self._start = {"position": 0, "update": 0}

    def prepare_data(self) -> None:
        """Downloads and decodes the data in one process, before the others read them."""
        self.source.split("train")

    @property
    def n(self) -> int:
        """How many training images the players see."""
        return self.train_images or len(self.source.split("train"))

    def setup(self, stage: str) -> None:
        """Checks the numbers of images, and logs the names of the classes.

        Raises:
            UserError: see `require_pictures`, `require_labels`, `require_images` and `require_shares`.
        """
        self.require_pictures()
        self.require_labels()
        self.require_images(len(self.source.split("train")))
        self.require_shares(self.trainer.world_size)
        if self.source.class_names and self.trainer.global_rank == 0:
            names = first_few([f"{number}={name}" for number, name in enumerate(self.source.class_names)], most=20)
            log.info("data=%s: the classes are %s", self.source.name, names)

    def require_pictures(self) -> None:
        """Refuses flips of what is no image.

        Raises:
            UserError: the samples are points or texts.
        """
        if self.flips and len(self.source.shape) != 3:
            raise UserError(
                f"flips=true mirrors images, but the samples of data={self.source.name} have shape "
                f"{list(self.source.shape)}: leave it out, or set flips=false."
            )

    def require_labels(self) -> None:
        """Refuses labels of more classes than the networks know, where the game looks at labels.

        Those of files that are decoded on access are not known beforehand.

        Raises:
            UserError: names the number of classes.
        """
        data, game = self.source.split("train"), getattr(self.trainer, "lightning_module", None)
        if getattr(game, "n_classes", None) is not None and isinstance(data, StoredSplit):
            class_numbers(data.labels, self.source.n_classes, f"data={self.source.name}: the classes")

    def require_images(self, found: int) -> None:
        """Refuses a number of training images that is too small.

        Raises:
            UserError: `train_images`, or one update, needs more of them.
        """
        name, needed = self.source.name, self.images_per_update
        if self.n > found:
            raise UserError(
                f"train_images={self.train_images} is more than the {found} training images of data={name}: set it to "
                f"at most {found}, or to null for all of them."
            )
        if self.n < needed:
            raise UserError(
                f"data={name} has {self.n} training images, fewer than the {needed} = n_dis x batch_size that one "
                f"update needs: lower batch_size or n_dis, or use more data."
            )

    def require_shares(self, devices: int) -> None:
        """Refuses an update whose images cannot be shared among the devices.

        Raises:
            UserError: names the batch size that can be.
        """
        needed = self.images_per_update
        if needed % devices:
            raise UserError(
                f"{needed} = n_dis x batch_size images per update cannot be shared among {devices} devices: "
                f"set batch_size to a multiple of {devices}."
            )

    @property
    def position(self) -> int:
        """The images consumed by the updates made so far, over all ranks."""
        updates = self.trainer.global_step - self._start["update"]
        return self._start["position"] + updates * self.images_per_update

    def state_dict(self) -> dict[str, Any]:
        """The position, the number of updates at which it was reached, and what the data were."""
        names = self.source.class_names
        return {
            "position": self.position,
            "update": self.trainer.global_step,
            "class_names": None if names is None else list(names),
            "images": self.n,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resumes at the saved position, whatever the batch size is now.

        It warns of a changed number of images.

        Raises:
            UserError: a class has another name than it had.
        """
        # Lightning does not know that the loader begins at `position`, which is restored here.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable")
        self.source.require_names(state_dict.get("class_names"))
        before, now = state_dict.get("images"), self.n
        if before not in (None, now):
            log.warning(
                "data=%s has %d training images, and had %d when the run was saved: it goes on with what is there now",
                *(self.source.name, now, before),
            )
        self._start = {name: state_dict[name] for name in self._start}

    def train_dataloader(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches (x, y) without end, this rank's share: x as stored, y int64 [b].

        Images are stored as uint8 [b, c, h, w].
        """
        data = self.source.split("train")
        return self._from_files(data) if isinstance(data, ImageFiles) else self._from_memory(data)

    def _from_memory(self, data: StoredSplit) -> Gather | FetchedAhead:
        device = training_device = self.trainer.strategy.root_device
        if data.images.nbytes > self.device_memory:
            device = torch.device("cpu")
        batches = Gather(data.images.to(device), data.labels.to(device), self._batches(len(data), device))
        waits_for_disk = isinstance(data, Packed) and device.type == "cpu"
        if device == training_device and not waits_for_disk:
            return batches
        return FetchedAhead(batches, pinned=training_device.type == "cuda")

    def _from_files(self, data: ImageFiles) -> FileLoader:
        if self.trainer.world_size > 1 and self.trainer._accelerator_connector.use_distributed_sampler:
            raise UserError(
                "a Trainer of several processes shares the batches of a loader anew, and the data have shared them "
                "already: build it with Trainer(use_distributed_sampler=False)."
            )
        batches = self._batches(len(data), torch.device("cpu"))
        return FileLoader(data, batches, self.num_workers, self.trainer.strategy.root_device.type == "cuda")

    def _batches(self, n: int, device: torch.device) -> Batches:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        sampler = EndlessSampler(self.n, self.seed, rank, world_size, device, among=n)
        return Batches(sampler, self.images_per_update, lambda: self.position)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Stored samples as the networks see them, just before the training step."""
        x, y = batch
        x = flipped(x) if self.flips else x
        pixels = x.dtype == torch.uint8
        return dequantize(x) if self.dequantize and pixels else self.source.samples(x), y
