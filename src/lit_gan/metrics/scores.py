"""FID, KID, precision and recall, and IS as metrics of torchmetrics, whose states synchronise.

They are not torchmetrics' own classes, but follow its contract, for these reasons. Its FID solves
the general eigenvalue problem, which takes twice as long at 2,048 features and may come out below 0
for few images; its KID and FID keep the real images' features among their states, where ours are
measured once, on every process the same; its IS cuts the images into parts that are not the
authors' where their number is no multiple of `splits`; and it has neither precision nor recall for
generators.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

Pool = Float[Tensor, "n f"]
Logits = Float[Tensor, "n k"]


class Moments:
    """Mean and unbiased covariance of features that come batch by batch.

    They are sums of products, of which nearly equal ones are subtracted in the end: float32 would
    lose the digits that a small FID consists of, so that they are kept in float64.

    Args:
        like: features of the width and on the device of those to come.
    """

    def __init__(self, like: Pool):
        width = like.shape[1]
        self.n = 0
        self.total = torch.zeros(width, dtype=torch.float64, device=like.device)
        self.products = torch.zeros(width, width, dtype=torch.float64, device=like.device)

    def add(self, pool: Pool) -> None:
        """Takes a batch of features in."""
        pool = pool.double()
        self.n += len(pool)
        self.total += pool.sum(0)
        self.products.addmm_(pool.T, pool)

    def mean(self) -> Float[Tensor, " f"]:
        """The mean of the features that have come so far."""
        return self.total / self.n

    def covariance(self) -> Float[Tensor, "f f"]:
        """The covariance of the features that have come, at least two."""
        return (self.products - self.n * self.mean().outer(self.mean())) / (self.n - 1)


class Reference:
    """The real images as the scores need them; what depends on them alone is computed once.

    Args:
        mean: the mean of the features of all images, in float64.
        root: R with R R^T = the covariance of these features, in float64.
        features: the features of those images that are compared one by one.
    """

    def __init__(self, mean: Float[Tensor, " f"], root: Float[Tensor, "f f"], features: Float[Tensor, "m f"]):
        self.mean, self.root, self.features = mean, root, features
        self.known: dict[Any, Tensor] = {}

    def once(self, key: Any, compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` returns, from memory where it has been called for this key before."""
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]


def root(covariance: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
    """R with R R^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding makes the zeros of a covariance without full rank slightly negative.
    return vectors * values.clamp(min=0).sqrt()


def scoring_device(extracting: torch.device) -> torch.device:
    """The extractor's device, or the CPU if that is Apple's, which has no float64."""
    return torch.device("cpu") if extracting.type == "mps" else extracting


def to_scoring_device(features: Tensor) -> Tensor:
    """Features on the device where scores are computed."""
    return features.to(scoring_device(features.device))


class AgainstReal(Metric):
    """A score of generated features against the real ones; a subclass computes it.

    In a `MetricCollection` all such scores share one list of features. Processes gather theirs in
    the order of rank.

    Args:
        real: the real images.
    """

    full_state_update = False  # torchmetrics would else compute the score after every batch
    pool: list[Pool] | Pool

    def __init__(self, real: Reference):
        super().__init__()
        self.real = real
        self.add_state("pool", [], dist_reduce_fx="cat")

    def update(self, pool: Pool) -> None:
        """Takes a batch of features of generated images in."""
        self.pool.append(pool)

    def generated(self) -> Pool:
        """All the features that have come."""
        return in_one_piece(self.pool)


def in_one_piece(parts: list[Tensor] | Tensor) -> Tensor:
    """The parts as one tensor, which takes their place in the list: memory holds the data once.

    Raises:
        ValueError: there are none.
    """
    if isinstance(parts, Tensor):
        return parts  # torchmetrics has made it one when it gathered the parts of all processes
    if len(parts) != 1:
        parts[:] = [dim_zero_cat(parts)]
    return parts[0]


class FrechetDistance(AgainstReal):
    """FID, Heusel et al. 2017, Eq. 6, in squared feature units and float64, 0 or more, never NaN.

    The trace of the root comes from a symmetric eigenvalue problem, Tr (S_r S_g)^1/2 = Tr (R^T S_g
    R)^1/2 with S_r = R R^T: unlike the general problem it has real eigenvalues also for fewer
    images than features. Biased upwards for few images.
    """

    def compute(self) -> Float[Tensor, ""]:
        """FID of the features that have come."""
        generated = self.generated()
        few = len(generated) < generated.shape[1]
        mean, spread, product = (sample_product if few else feature_product)(self.real.root, generated)
        overlap = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
        distance = (self.real.mean - mean).square().sum() + self.real.root.square().sum() + spread - 2 * overlap
        return distance.clamp(min=0)


def feature_product(root: Float[Tensor, "f f"], generated: Pool) -> tuple[Tensor, Tensor, Float[Tensor, "f f"]]:
    """Mean and Tr S_g of generated features, and R^T S_g R."""
    moments = Moments(generated)
    for part in generated.split(1000):  # a copy of all features in float64 would double the memory
        moments.add(part)
    covariance = moments.covariance()
    return moments.mean(), covariance.trace(), root.T @ covariance @ root


def sample_product(root: Float[Tensor, "f f"], generated: Pool) -> tuple[Tensor, Tensor, Float[Tensor, "n n"]]:
    """As `feature_product`, for fewer samples n than features f: a matrix [n, n] instead of [f, f].

    With S_g = X^T X, X R (X R)^T has the eigenvalues of R^T S_g R, but for some that are 0.
    """
    mean = generated.mean(0, dtype=torch.float64)
    x = (generated - mean) / (len(generated) - 1) ** 0.5
    seen = x @ root
    return mean, x.square().sum(), seen @ seen.T


class KernelDistance(AgainstReal):
    """KID, Bińkowski et al. 2018: the unbiased squared MMD of the kernel (x.y / f + 1)^3.

    It is the mean over random subsets, and may be negative. The subsets come from torch's global
    random numbers, drawn in the order in which torchmetrics draws them, so that both give the same
    score from one seed.

    Args:
        subsets: the number of subsets.
        subset_size: images of either kind in each; fewer where there are fewer images.
    """

    def __init__(self, real: Reference, subsets: int = 100, subset_size: int = 1000):
        super().__init__(real)
        self.subsets, self.subset_size = subsets, subset_size

    def compute(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean and standard deviation over the subsets."""
        generated = self.generated()
        kinds = (self.real.features, generated)
        size = min(self.subset_size, *map(len, kinds))
        subsets = ([torch.randperm(len(x))[:size] for x in kinds] for _ in range(self.subsets))
        distances = torch.stack([self.distance(r, generated[g]) for r, g in subsets])
        return distances.mean(), distances.std(correction=0)

    def distance(self, chosen: Int[Tensor, " n"], y: Pool) -> Float[Tensor, ""]:
        """The unbiased squared MMD between the chosen real images and generated ones."""
        x = self.real.features[chosen]
        within = self.real.once(chosen.numpy().tobytes(), lambda: between_others(x))
        return within + between_others(y) - 2 * kernel(x, y).mean()


def between_others(x: Pool) -> Float[Tensor, ""]:
    """The mean of the kernel over all pairs of different samples."""
    values = kernel(x, x)
    return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))


def kernel(x: Pool, y: Pool) -> Float[Tensor, "n m"]:
    """(x.y / f + 1)^3."""
    return torch.addmm(x.new_ones(()), x, y.T, alpha=1 / x.shape[1]).pow_(3)


class PrecisionRecall(AgainstReal):
    """Precision and recall: shares of samples in the other set's k-NN balls.

    Kynkäänniemi et al. 2019, Eq. 1-2.

    Args:
        samples: the most images of either kind that are compared, the first ones.
        neighbours: k; less where there are not as many other images.
    """

    def __init__(self, real: Reference, samples: int = 10_000, neighbours: int = 3):
        super().__init__(real)
        self.samples, self.neighbours = samples, neighbours

    def compute(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Precision and recall, from 0 to 1."""
        x, y = self.real.features[: self.samples], self.generated()[: self.samples]
        k = min(self.neighbours, len(x) - 1, len(y) - 1)
        between = torch.cdist(x, y)
        precision = share_inside(between.T, self.real.once((self.samples, k), lambda: radii(x, k)))
        return precision, share_inside(between, radii(y, k))


def share_inside(distances: Float[Tensor, "n m"], radii: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """The share of n samples that lie in at least one of m balls."""
    return (distances <= radii).any(1).float().mean()


def radii(x: Pool, k: int) -> Float[Tensor, " n"]:
    """Every sample's distance to its k-th nearest other one."""
    # One more is asked for, because the nearest sample is the sample itself.
    return torch.cdist(x, x).topk(k + 1, largest=False).values[:, -1]


class InceptionScore(Metric):
    """IS, Salimans et al. 2016: exp E KL(p(y|x) || p(y)) of random parts of the images.

    Part i of k holds the shuffled images from n i // k to n (i + 1) // k, as in the authors' code.
    The order comes from the global random numbers.

    Args:
        splits: the number of parts; fewer images than that make as many parts as there are images.
    """

    full_state_update = False  # torchmetrics would else compute the score after every batch
    logits: list[Logits] | Logits

    def __init__(self, splits: int = 10):
        super().__init__()
        self.splits = splits
        self.add_state("logits", [], dist_reduce_fx="cat")

    def update(self, logits: Logits) -> None:
        """Takes a batch of logits of generated images in."""
        self.logits.append(logits)

    def compute(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean and standard deviation over the parts.

        The deviation divides by the number of parts, as numpy's and the authors' does; it is NaN
        for one part.
        """
        logits = in_one_piece(self.logits)
        n, order, k = len(logits), torch.randperm(len(logits)), min(self.splits, len(logits))
        parts = [logits[order[n * i // k : n * (i + 1) // k]] for i in range(k)]
        scores = torch.stack([inception_score(part) for part in parts])
        return scores.mean(), scores.std(correction=0) if k > 1 else scores.new_tensor(torch.nan)


def inception_score(logits: Logits) -> Float[Tensor, ""]:
    """IS of all images as one part."""
    probabilities, logarithms = logits.softmax(1), logits.log_softmax(1)
    divergences = probabilities * (logarithms - probabilities.mean(0).log())
    return divergences.sum(1).mean().exp()
