"""FID, KID, precision, recall, density and coverage, and IS as metrics of torchmetrics, whose states
synchronise.

They are not torchmetrics' own classes, but follow its contract, for these reasons. Its FID solves
the general eigenvalue problem, which takes twice as long at 2,048 features and may come out below 0
for few images; its KID and FID keep the real images' features among their states, where ours are
measured once, on every process the same; its IS and KID keep all logits and features, of which ours
keep sums and a choice; its IS cuts the images into parts that are not the authors' where their
number is no multiple of `splits`; and it has none of the scores of nearest neighbours.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lit_gan.metrics.choice import Subset
from lit_gan.metrics.reference import Moments, Pool, Reference
from lit_gan.metrics.sharing import watched_once

BLOCK = 1000
"""Images whose distances to all others are in memory together."""


class FrechetDistance(Metric):
    """FID, Heusel et al. 2017, Eq. 6, in squared feature units and float64, 0 or more, never NaN.

    The trace of the root comes from a symmetric eigenvalue problem, Tr (S_r S_g)^1/2 = Tr (R^T S_g
    R)^1/2 with S_r = R R^T: unlike the general problem it has real eigenvalues also for fewer
    images than features. Biased upwards for few images.

    Memory does not grow with the number of images: as soon as there are as many as features, they
    go into sums. Fewer are kept, because they make a smaller eigenvalue problem.

    Args:
        real: the real images.
    """

    full_state_update = False  # torchmetrics would else compute the score after every batch
    pool: list[Pool] | Pool
    n: Int[Tensor, ""]
    total: Float[Tensor, " f"]
    products: Float[Tensor, "f f"]

    def __init__(self, real: Reference):
        super().__init__()
        self.real = real
        self.add_state("pool", [], dist_reduce_fx="cat")
        for name, empty in (("n", torch.tensor(0)), ("total", torch.zeros(0)), ("products", torch.zeros(0, 0))):
            self.add_state(name, empty, dist_reduce_fx="sum")

    def update(self, pool: Pool) -> None:
        """Takes a batch of features of generated images in."""
        if not len(self.total):
            none = Moments.none(pool.shape[1], pool.device)
            self.n, self.total, self.products = none.n, none.total, none.products
        self.pool.append(pool)
        if sum(map(len, self.pool)) >= pool.shape[1]:
            self.sums.add(torch.cat(self.pool))
            self.pool = [pool[:0].clone()]  # so that processes that exchange it know its width

    @property
    def sums(self) -> Moments:
        """The sums that features are added to."""
        return Moments(self.n, self.total, self.products)

    def compute(self) -> Float[Tensor, ""]:
        """FID of the features that have come."""
        mean, spread, product = self.product(dim_zero_cat(self.pool))
        overlap = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
        distance = (self.real.mean - mean).square().sum() + self.real.root.square().sum() + spread - 2 * overlap
        return distance.clamp(min=0)

    def product(self, pool: Pool) -> tuple[Float[Tensor, " f"], Float[Tensor, ""], Float[Tensor, "k k"]]:
        """Mean and Tr S_g of all features, and a matrix with the eigenvalues of R^T S_g R but for
        some that are 0.

        Args:
            pool: those that are not in the sums.
        """
        if self.n == 0 and len(pool) < pool.shape[1]:
            return sample_product(self.real.root, pool)
        sums = Moments(self.n.clone(), self.total.clone(), self.products.clone())
        sums.add(pool)
        covariance = sums.covariance()
        return sums.mean(), covariance.trace(), self.real.root.T @ covariance @ self.real.root


def sample_product(
    root: Float[Tensor, "f f"], generated: Pool
) -> tuple[Float[Tensor, " f"], Float[Tensor, ""], Float[Tensor, "n n"]]:
    """Mean and Tr S_g of fewer samples n than features f, and a matrix [n, n].

    With S_g = X^T X, X R (X R)^T has the eigenvalues of R^T S_g R, but for some that are 0.
    """
    mean = generated.mean(0, dtype=torch.float64)
    x = (generated - mean) / (len(generated) - 1) ** 0.5
    seen = x @ root
    return mean, x.square().sum(), seen @ seen.T


class AgainstReal(Metric):
    """A score that compares generated features with real ones, image by image; a subclass computes
    it.

    In a group of a `MetricCollection` all such scores share one tensor of features. Processes
    gather theirs in the order of rank.

    Args:
        real: the real images.
        n: how many features will come, of which the memory is asked for at once: a list of batches
            would need it twice when it becomes one tensor.
    """

    full_state_update = False  # torchmetrics would else compute the score after every batch
    kept: list[Pool] | Pool

    def __init__(self, real: Reference, n: int):
        super().__init__()
        self.real, self.n, self.came = real, n, 0
        self.add_state("kept", [], dist_reduce_fx="cat")

    def update(self, kept: Pool) -> None:
        """Takes a batch of features of generated images in."""
        if not self.kept:
            self.kept, self.came = [kept.new_empty(self.n, kept.shape[1])], 0
        self.kept[0][self.came : self.came + len(kept)] = kept
        self.came += len(kept)

    def generated(self) -> Pool:
        """All the features that have come, without a copy."""
        return self.kept if isinstance(self.kept, Tensor) else self.kept[0]  # a tensor when gathered from processes


class KernelDistance(AgainstReal):
    """KID, Bińkowski et al. 2018, section 4: the unbiased squared MMD of the kernel (x.y / f + 1)^3.

    It is the mean over random subsets, and may be negative.

    Args:
        subsets: those of real features and of the generated ones that come.
    """

    def __init__(self, real: Reference, n: int, subsets: list[Subset]):
        super().__init__(real, n)
        self.subsets = subsets

    def compute(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean and standard deviation over the subsets."""
        x, y, key = self.real.features, self.generated(), torch.stack([real for real, _ in self.subsets])
        within = self.real.once(
            key.numpy().tobytes(), lambda: self.each("real subsets", lambda i, real, _: between_others(x[real]))
        )
        distances = self.each("subsets", lambda i, real, generated: mmd(within[i], x[real], y[generated]))
        return distances.mean(), distances.std(correction=0)

    def each(self, what: str, measure: Callable[[int, Tensor, Tensor], Tensor]) -> Float[Tensor, " k"]:
        """What is measured in each subset.

        All values are in one tensor: between the large tensors of a subset, small ones that stay
        would keep the allocator from using their memory for the next one.
        """
        values = self.real.features.new_empty(len(self.subsets))
        for number, subset in enumerate(watched_once(self.subsets, f"comparing {what}")):
            values[number] = measure(number, *subset)
        return values


def mmd(within: Float[Tensor, ""], x: Pool, y: Pool) -> Float[Tensor, ""]:
    """The unbiased squared MMD between x and y, where `within` is its term of x alone."""
    return within + between_others(y) - 2 * kernel(x, y).mean()


def between_others(x: Pool) -> Float[Tensor, ""]:
    """The mean of the kernel over all pairs of different samples."""
    values = kernel(x, x)
    return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))


def kernel(x: Pool, y: Pool) -> Float[Tensor, "n m"]:
    """(x.y / f + 1)^3."""
    return torch.addmm(x.new_ones(()), x, y.T, alpha=1 / x.shape[1]).pow_(3)


class NeighbourScores(AgainstReal):
    """Precision, recall, density and coverage, from which samples lie in which k-NN balls: around each
    sample one that reaches to its k-th nearest other one of its set.

    Precision and recall, Kynkäänniemi et al. 2019, Eq. 1-2, are the shares of generated samples in
    any real ball, and of real ones in any generated ball. Density and coverage, Naeem et al. 2020,
    count real balls alone: the mean number of them that a generated sample lies in, over k, and the
    share of them that hold any. So one generated outlier with a large ball may make recall 1, and
    one real outlier precision, where density gains at most 1 / k.

    Samples of the data's own distribution have an expected density of 1, whatever the numbers, and
    with N real and M generated ones an expected coverage of 1 - prod_{j=1..k} (N - j) / (N + M -
    j): 0.875 for k = 3 and N = M, 0.969 for the k = 5 of Naeem et al.

    All four have one k, as in the authors' code, `prdc.py`. There all balls are open. Here those of
    precision and recall are closed, as Kynkäänniemi et al. have them; those of density and coverage
    are open, so that both scores are 0 where all real features are equal.

    Args:
        samples: the most images of either kind that are compared, the first ones.
        neighbours: k; less where there are not as many other images.
    """

    def __init__(self, real: Reference, n: int, samples: int = 10_000, neighbours: int = 3):
        super().__init__(real, n)
        self.samples, self.neighbours = samples, neighbours

    def compute(self) -> tuple[Float[Tensor, ""], ...]:
        """Precision, recall, density and coverage: density is 0 or more, the others are from 0 to 1."""
        x, y = self.real.features[: self.samples], self.generated()[: self.samples]
        k = min(self.neighbours, len(x) - 1, len(y) - 1)
        around_real, around_generated = self.real.once((self.samples, k), lambda: radii(x, k)), radii(y, k)
        good, found = torch.zeros_like(around_generated, dtype=torch.bool), []
        held, covered = torch.zeros((), dtype=torch.long, device=y.device), []
        blocks = list(zip(x.split(BLOCK), around_real.split(BLOCK), strict=True))
        for part, radius in watched_once(blocks, "comparing neighbours"):
            distances = torch.cdist(part, y)
            good |= (distances <= radius[:, None]).any(0)
            found.append((distances <= around_generated).any(1))
            inside = distances < radius[:, None]
            held += inside.sum()
            covered.append(inside.any(1))
        precision, recall, coverage = (each.float().mean() for each in (good, torch.cat(found), torch.cat(covered)))
        return precision, recall, held / (k * len(y)), coverage


def radii(x: Pool, k: int) -> Float[Tensor, " n"]:
    """Every sample's distance to its k-th nearest other one."""
    # One more is asked for, because the nearest sample is the sample itself.
    parts = watched_once(x.split(BLOCK), "finding neighbours")
    nearest = [torch.cdist(part, x).topk(k + 1, largest=False).values for part in parts]
    return torch.cat(nearest)[:, -1]


class InceptionScore(Metric):
    """IS, Salimans et al. 2016, section 4: exp E KL(p(y|x) || p(y)) of parts of the images.

    Of each part, sums in float64 are kept: E KL(p(y|x) || p(y)) = H(p(y)) - E H(p(y|x)), and p(y)
    is the mean of p(y|x).

    Args:
        parts: how many there are.
    """

    full_state_update = False  # torchmetrics would else compute the score after every batch
    sizes: Float[Tensor, " k"]
    probabilities: Float[Tensor, "k c"]
    entropies: Float[Tensor, " k"]

    def __init__(self, parts: int):
        super().__init__()
        sums = torch.zeros(parts, dtype=torch.float64)
        self.add_state("sizes", sums, dist_reduce_fx="sum")
        self.add_state("probabilities", sums[:, None], dist_reduce_fx="sum")  # a column for each class, once known
        self.add_state("entropies", sums, dist_reduce_fx="sum")

    def update(self, logits: Float[Tensor, "b c"], parts: Int[Tensor, " b"]) -> None:
        """Takes a batch of logits of generated images in, and the number of each image's part."""
        members = F.one_hot(parts.to(logits.device), len(self.sizes)).double().T
        logarithms = logits.double().log_softmax(1)
        probabilities = logarithms.exp()
        self.sizes = self.sizes + members.sum(1)
        self.probabilities = self.probabilities + members @ probabilities
        self.entropies = self.entropies - members @ (probabilities * logarithms).sum(1)

    def compute(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean and standard deviation over the parts.

        The deviation divides by the number of parts, as numpy's and the authors' does; it is NaN
        for one part.
        """
        mean = self.probabilities / self.sizes[:, None]
        scores = (torch.special.entr(mean).sum(1) - self.entropies / self.sizes).exp()
        return scores.mean(), scores.std(correction=0) if len(scores) > 1 else scores.new_tensor(torch.nan)
