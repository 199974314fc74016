"""What lit_gan races against: training loops written by hand, of the same networks and data."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn

from lit_gan.build import build_part
from lit_gan.data import Source, to_unit


class Loop:
    """The loop that a researcher writes in an afternoon, and that most repositories have.

    Adam as torch makes it, gradients for all of D in G's turn, images as they come. The networks
    are those of a config, the loss is hinge's or Wasserstein's, and D has torch's spectral norm or
    a gradient penalty.
    """

    layout = torch.contiguous_format
    """How images and weights of convolutions lie in memory."""
    fused = False
    """Whether one kernel makes an optimizer's step."""

    def __init__(self, config: DictConfig, source: Source, device: torch.device):
        torch.manual_seed(config.seed)
        self.G, self.D = build_part(config.model.G), build_part(config.model.D)
        self.n_dis, self.batch_size, self.device = config.optim.n_dis, config.batch_size, device
        self.wasserstein = "Wasserstein" in config.loss._target_
        self.penalty = config.reg.gradient_penalty.weight if "gradient_penalty" in config.reg else None
        if "spectral" in config.reg:
            for layer in [layer for layer in self.D.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]:
                nn.utils.parametrizations.spectral_norm(layer)
        for network in (self.G, self.D):
            network.to(device, memory_format=self.layout)
        settings = {"lr": config.optim.d.lr, "betas": tuple(config.optim.d.betas), "fused": self.fused or None}
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), **settings)
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), **settings)
        self.samples = source.split("train").images.to(device)
        self.shuffled = self.shuffle()

    def shuffle(self) -> Iterator[Tensor]:
        """Endless batches of sample numbers, each epoch in another order."""
        while True:
            yield from torch.randperm(len(self.samples), device=self.device).split(self.batch_size)[:-1]

    def real(self) -> Tensor:
        """The next batch of real samples."""
        x = self.samples.index_select(0, next(self.shuffled))
        x = to_unit(x) if x.dtype == torch.uint8 else x
        return x.contiguous(memory_format=self.layout) if x.dim() == 4 else x

    def z(self) -> Tensor:
        """As many latent vectors."""
        return torch.randn(self.batch_size, self.G.z_dim, device=self.device)

    def update(self) -> None:
        """Makes one generator update, and the `n_dis` updates of D before it."""
        for _ in range(self.n_dis):
            with torch.no_grad():
                fake = self.G(self.z())
            self.d_optimizer.zero_grad()
            self.d_loss(self.real(), fake).backward()
            self.d_optimizer.step()
        self.update_g()

    def update_g(self) -> None:
        """Makes G's part of an update."""
        self.g_optimizer.zero_grad()
        (-self.D(self.G(self.z())).logits.mean()).backward()
        self.g_optimizer.step()

    def d_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """D's hinge loss, or its Wasserstein loss with gradient penalty."""
        real_logits, fake_logits = self.D(x).logits, self.D(fake).logits
        if not self.wasserstein:
            return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        share = torch.rand(len(x), *[1] * (x.dim() - 1), device=self.device)
        between = (share * x + (1 - share) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.D(between).logits.sum(), between, create_graph=True)
        length = gradient.flatten(1).norm(dim=1)
        return fake_logits.mean() - real_logits.mean() + self.penalty * (length - 1).square().mean()


class TunedLoop(Loop):
    """The quickest loop that we could write by hand: fused Adam, channels side by side, no
    gradients for D in G's turn."""

    layout = torch.channels_last
    fused = True

    def update_g(self) -> None:
        """Makes G's part of an update."""
        self.D.requires_grad_(False)
        super().update_g()
        self.D.requires_grad_(True)
