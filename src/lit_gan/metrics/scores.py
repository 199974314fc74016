"""The scores themselves, on features: FID, KID, precision and recall in the forms that cost least, torchmetrics' IS."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore

Pool = Float[Tensor, "n f"]
Logits = Float[Tensor, "n k"]


class Moments:
    """Mean and unbiased covariance, in float64, of features that come batch by batch.

    Args:
        like: features of the width and on the device of those to come.
    """

    def __init__(self, like: Pool):
        width = like.shape[1]
        self.n = 0
        self.total = torch.zeros(width, dtype=torch.float64, device=like.device)
        self.products = torch.zeros(width, width, dtype=torch.float64, device=like.device)

    def add(self, pool: Pool) -> None:
        """Takes a batch in."""
        pool = pool.double()
        self.n += len(pool)
        self.total += pool.sum(0)
        self.products.addmm_(pool.T, pool)

    def mean(self) -> Float[Tensor, " f"]:
        """Of what has come so far."""
        return self.total / self.n

    def covariance(self) -> Float[Tensor, "f f"]:
        """Of at least two samples."""
        return (self.products - self.n * self.mean().outer(self.mean())) / (self.n - 1)


class Reference:
    """The real images as the scores need them; what depends on them alone is computed once.

    Args:
        mean, root: the mean of all features, and R with R R^T = their covariance, in float64.
        features: of as many as are compared one by one.
    """

    def __init__(self, mean: Float[Tensor, " f"], root: Float[Tensor, "f f"], features: Float[Tensor, "m f"]):
        self.mean, self.root, self.features = mean, root, features
        self.known: dict[Any, Tensor] = {}

    def once(self, key: Any, compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` has returned the first time for this key."""
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]


def root(covariance: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
    """R with R R^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()


def frechet_distance(real: Reference, generated: Pool) -> float:
    """FID, Heusel et al. 2017, Eq. 6, in squared feature units and float64; at least 0 and never NaN.

    The trace of the root comes from a symmetric eigenvalue problem, Tr (S_r S_g)^1/2 = Tr (R^T S_g R)^1/2 with
    S_r = R R^T: unlike the general problem it has real eigenvalues also for fewer images than features. Biased upwards
    for few images.
    """
    few = len(generated) < generated.shape[1]
    mean, spread, product = (sample_product if few else feature_product)(real.root, generated)
    overlap = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    distance = (real.mean - mean).square().sum() + real.root.square().sum() + spread - 2 * overlap
    return distance.clamp(min=0).item()


def feature_product(root: Float[Tensor, "f f"], generated: Pool) -> tuple[Tensor, Tensor, Float[Tensor, "f f"]]:
    """Mean and Tr S_g of generated features, and R^T S_g R."""
    moments = Moments(generated)
    for part in generated.split(1000):
        moments.add(part)
    covariance = moments.covariance()
    return moments.mean(), covariance.trace(), root.T @ covariance @ root


def sample_product(root: Float[Tensor, "f f"], generated: Pool) -> tuple[Tensor, Tensor, Float[Tensor, "n n"]]:
    """The same for fewer samples than features: X R (X R)^T, where S_g = X^T X, has the same eigenvalues but for 0."""
    mean = generated.mean(0, dtype=torch.float64)
    x = (generated - mean) / (len(generated) - 1) ** 0.5
    seen = x @ root
    return mean, x.square().sum(), seen @ seen.T


def kernel_distance(real: Reference, generated: Pool, subsets: int, subset_size: int) -> float:
    """KID, Bińkowski et al. 2018: the unbiased squared MMD of the kernel (x.y / f + 1)^3, mean over random subsets.

    It may be negative. The subsets come from the global random numbers, in torchmetrics' order.
    """
    size = min(subset_size, len(real.features), len(generated))
    distances = [
        mmd(real, *(torch.randperm(len(x))[:size] for x in (real.features, generated)), generated)
        for _ in range(subsets)
    ]
    return torch.stack(distances).mean().item()


def mmd(real: Reference, r: Int[Tensor, " n"], g: Int[Tensor, " n"], generated: Pool) -> Float[Tensor, ""]:
    """The unbiased squared MMD between the real images of the numbers r and the generated ones of the numbers g."""
    x, y = real.features[r], generated[g]
    within = real.once(r.numpy().tobytes(), lambda: between_others(x))
    return within + between_others(y) - 2 * kernel(x, y).mean()


def between_others(x: Pool) -> Float[Tensor, ""]:
    """The mean of the kernel over all pairs of different samples."""
    values = kernel(x, x)
    return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))


def kernel(x: Pool, y: Pool) -> Float[Tensor, "n m"]:
    """(x.y / f + 1)^3."""
    return torch.addmm(x.new_ones(()), x, y.T, alpha=1 / x.shape[1]).pow_(3)


def precision_recall(real: Reference, generated: Pool, samples: int, neighbours: int) -> tuple[float, float]:
    """Precision and recall, Kynkäänniemi et al. 2019, Eq. 1-2: shares of samples in the other set's k-NN balls.

    Of the first `samples` images of either kind.
    """
    x, y = real.features[:samples], generated[:samples]
    k = min(neighbours, len(x) - 1, len(y) - 1)
    between = torch.cdist(x, y)
    precision = share_inside(between.T, real.once((samples, k), lambda: radii(x, k)))
    return precision, share_inside(between, radii(y, k))


def share_inside(distances: Float[Tensor, "n m"], radii: Float[Tensor, " m"]) -> float:
    """How many of n samples lie in at least one of m balls, as a share."""
    return (distances <= radii).any(1).float().mean().item()


def radii(x: Pool, k: int) -> Float[Tensor, " n"]:
    """Every sample's distance to its k-th nearest other one."""
    return torch.cdist(x, x).topk(k + 1, largest=False).values[:, -1]


def inception_score(logits: Logits, splits: int) -> tuple[float, float]:
    """IS, Salimans et al. 2016: exp E KL(p(y|x) || p(y)); mean and standard deviation over random splits.

    The splits come from the global random numbers. The deviation is that of the authors' code, numpy's; torchmetrics
    divides by one split less. That of a single split is NaN.
    """
    features, splits = nn.Identity(), min(splits, len(logits))
    features.num_features = logits.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        score = InceptionScore(feature=features, splits=splits, sync_on_compute=False)
        score.update(logits)
        mean, deviation = score.compute()
    return mean.item(), deviation.item() * math.sqrt((splits - 1) / splits)
