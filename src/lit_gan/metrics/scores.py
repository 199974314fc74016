"""The scores themselves, on features: torchmetrics' FID, KID and IS, torch-fidelity's precision and recall."""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_fidelity.metric_prc import calculate_precision_recall_full
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

Pool = Float[Tensor, "n f"]
Logits = Float[Tensor, "n k"]

ALONE = {"sync_on_compute": False}
"""One process evaluates: its metrics must not wait for the others of a distributed training."""


class AsTheyAre(nn.Identity):
    """In the place of a metric's network: what it is given are features already."""

    def __init__(self, width: int):
        super().__init__()
        self.num_features = width


class FrechetDistance(FrechetInceptionDistance):
    """FID between features, Heusel et al. 2017, Eq. 6, in float64, at least 0 and never NaN.

    The trace of the root comes from a symmetric eigenvalue problem, Tr (S_r S_g)^1/2 = Tr (R^T S_g R)^1/2 with
    S_r = R R^T: unlike the general problem it has real eigenvalues also for fewer images than features, and R is
    computed once for all evaluations against the same real images. Biased upwards for few images.
    """

    def __init__(self, width: int):
        super().__init__(feature=AsTheyAre(width), reset_real_features=False, **ALONE)
        self.real_root: Tensor | None = None

    def compute(self) -> Float[Tensor, ""]:
        """The distance, in squared feature units."""
        mean_r, cov_r = moments(self.real_features_sum, self.real_features_cov_sum, self.real_features_num_samples)
        mean_g, cov_g = moments(self.fake_features_sum, self.fake_features_cov_sum, self.fake_features_num_samples)
        if self.real_root is None:
            self.real_root = root(cov_r)
        overlap = torch.linalg.eigvalsh(self.real_root.T @ cov_g @ self.real_root).clamp(min=0).sqrt().sum()
        distance = (mean_r - mean_g).square().sum() + cov_r.trace() + cov_g.trace() - 2 * overlap
        return distance.clamp(min=0)


def moments(total: Tensor, products: Tensor, n: Tensor) -> tuple[Float[Tensor, " f"], Float[Tensor, "f f"]]:
    """Mean and unbiased covariance of n >= 2 samples from their sum and the sum of their outer products."""
    mean = total / n
    return mean, (products - n * mean.outer(mean)) / (n - 1)


def root(covariance: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
    """R with R R^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()


def kernel_distance(real: Pool, generated: Pool, subsets: int, subset_size: int) -> float:
    """KID, Bińkowski et al. 2018: the unbiased squared MMD of the kernel (x.y / f + 1)^3, mean over random subsets.

    It may be negative. The subsets come from the global random numbers.
    """
    size = min(subset_size, len(real), len(generated))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        kid = KernelInceptionDistance(feature=AsTheyAre(real.shape[1]), subsets=subsets, subset_size=size, **ALONE)
    kid.update(real, real=True)
    kid.update(generated, real=False)
    return kid.compute()[0].item()


def inception_score(logits: Logits, splits: int) -> tuple[float, float]:
    """IS, Salimans et al. 2016: exp E KL(p(y|x) || p(y)); mean and standard deviation over random splits.

    The splits come from the global random numbers. The deviation of a single split is NaN.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        score = InceptionScore(feature=AsTheyAre(logits.shape[1]), splits=min(splits, len(logits)), **ALONE)
        score.update(logits)
        mean, deviation = score.compute()
    return mean.item(), deviation.item()


def precision_recall(real: Pool, generated: Pool, neighbours: int) -> tuple[float, float]:
    """Precision and recall, Kynkäänniemi et al. 2019, Eq. 1-2: shares of samples in the other set's k-NN balls."""
    k = min(neighbours, len(real) - 1, len(generated) - 1)
    return calculate_precision_recall_full(generated, real, neighborhood=k)
