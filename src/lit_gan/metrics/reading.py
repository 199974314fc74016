"""Samples of a data set by their indices, whether it lies in memory or in files."""

from collections.abc import Iterator, Sized
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Int
from torch import Tensor

from lit_gan.data.source import ImageFiles, StoredSplit, rows
from lit_gan.system.watching import watched


def subset_indices(dataset: Sized, n: int | None) -> Int[Tensor, " n"]:
    """The indices of n random samples, always the same; all of them for None or too large an n."""
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
    return order if n is None else order[:n]


def read_batches(
    dataset: StoredSplit | ImageFiles, indices: Int[Tensor, " n"], batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (samples, labels) of the samples at these indices; threads decode files."""
    batches = indices.split(batch_size)
    with ThreadPoolExecutor() as pool:
        for batch in watched(batches, len(batches), "real images"):
            if isinstance(dataset, StoredSplit):
                yield rows(dataset.images, batch), dataset.labels[batch]
            else:
                images, labels = zip(*pool.map(dataset.__getitem__, batch.tolist()), strict=True)
                yield torch.stack(images), torch.tensor(labels)
