"""`make bench`: the speed of lit_gan against hand-written PyTorch, interleaved in one run."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import hydra
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer
from omegaconf import DictConfig
from rich.table import Table
from torch import Tensor, nn

from lit_gan.build import build_data, build_gan, build_part, build_protocol, build_source
from lit_gan.callbacks import essential_callbacks
from lit_gan.data import Source, to_uint8, to_unit
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import measure
from lit_gan.module import GAN
from lit_gan.sampling import Sampler
from lit_gan.system.console import plain_console
from lit_gan.tasks.training import quieten_libraries

CASES = {
    "dcgan on digits, n_dis 1": ["optim=sngan_c"],
    "dcgan on digits, n_dis 5": ["optim=sngan_a"],
    "dcgan on digits, n_dis 5, gradient penalty": ["optim=sngan_a", "reg=gradient_penalty", "loss=wasserstein"],
    "SNGAN's CNN, n_dis 1": ["model=sngan_cnn", "optim=sngan_c"],
    "SNGAN's CNN, n_dis 5": ["model=sngan_cnn", "optim=sngan_a"],
}
"""What is trained: the overrides of each case."""

ROUNDS = 7
"""The paired rounds of a training that count; one before them warms up."""

SECONDS = 2.0
"""How long the bare loop trains in a round, about; ours makes as many updates."""

EVALUATIONS = {"quick": 21, "full": 3}
"""The paired rounds of an evaluation under each protocol."""


def main() -> None:
    """Prints generator updates per second of both loops, then images per second of the metrics."""
    quieten_libraries()
    table = Table("case", "lit_gan, updates/s", "bare, updates/s", "ratio", title=f"median of {ROUNDS} paired rounds")
    for name, overrides in CASES.items():
        table.add_row(name, *medians(race(config_of(overrides))))
    plain_console().print(table)
    plain_console().print(metrics_table())


def config_of(overrides: list[str]) -> DictConfig:
    """The training config with overrides."""
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        return hydra.compose("train", overrides=[*overrides, "callbacks=none"])


def race(config: DictConfig) -> list[tuple[float, float]]:
    """The updates per second of lit_gan and of the bare loop, one pair for each round."""
    source = build_source(config)
    gan, data = build_gan(config), build_data(config, source)
    rounds = Rounds(BareLoop(config, source))
    trainer = Trainer(
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[*essential_callbacks(gan), rounds],
        accelerator=config.trainer.accelerator,
        devices=1,
    )
    trainer.fit(gan, data)
    return rounds.pairs[1:]


class Rounds(Callback):
    """Lets the bare loop make as many updates after each round of Lightning's, so that both meet
    the same machine."""

    def __init__(self, bare: "BareLoop"):
        self.bare = bare
        self.pairs: list[tuple[float, float]] = []
        self.updates, self.start = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Finds how many updates the bare loop makes in `SECONDS`."""
        self.bare.to(pl_module.device)
        self.bare.update()
        self.updates = max(3, round(SECONDS * rate(self.bare.update, 3, pl_module.device)))

    def on_train_batch_start(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Starts our clock at the beginning of a round."""
        if trainer.global_step % self.updates == 0:
            synchronise(pl_module.device)
            self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Stops our clock at the end of a round, and gives the bare loop its turn."""
        if trainer.global_step % self.updates == 0:
            synchronise(pl_module.device)
            ours = self.updates / (time.perf_counter() - self.start)
            self.pairs.append((ours, rate(self.bare.update, self.updates, pl_module.device)))
            trainer.should_stop = len(self.pairs) > ROUNDS


class BareLoop:
    """The loop that a researcher writes in an afternoon: the same networks, loss, regularizer and
    optimizer."""

    def __init__(self, config: DictConfig, source: Source):
        torch.manual_seed(config.seed)
        self.G, self.D = build_part(config.model.G), build_part(config.model.D)
        self.penalty = "gradient_penalty" in config.reg
        if not self.penalty:
            for layer in [layer for layer in self.D.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]:
                nn.utils.parametrizations.spectral_norm(layer)
        settings = {"lr": config.optim.d.lr, "betas": tuple(config.optim.d.betas), "fused": True}
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), **settings)
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), **settings)
        self.n_dis, self.batch_size = config.optim.n_dis, config.batch_size
        self.images = source.split("train").images
        self.shuffled = self.shuffle()

    def to(self, device: torch.device) -> None:
        """Moves the networks and the images to a device."""
        self.G.to(device)
        self.D.to(device)
        self.images = self.images.to(device)

    def shuffle(self) -> Iterator[Tensor]:
        """Endless batches of image numbers, each epoch in another order."""
        while True:
            yield from torch.randperm(len(self.images)).split(self.batch_size)[:-1]

    def update(self) -> None:
        """Makes one generator update, and the `n_dis` updates of D before it."""
        for _ in range(self.n_dis):
            x = to_unit(self.images[next(self.shuffled).to(self.images.device)])
            with torch.no_grad():
                fake = self.G(torch.randn(self.batch_size, self.G.z_dim, device=x.device))
            self.d_optimizer.zero_grad()
            self.d_loss(x, fake).backward()
            self.d_optimizer.step()
        self.D.requires_grad_(False)
        self.g_optimizer.zero_grad()
        fake = self.G(torch.randn(self.batch_size, self.G.z_dim, device=x.device))
        (-self.D(fake).logits.mean()).backward()
        self.g_optimizer.step()
        self.D.requires_grad_(True)

    def d_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """D's hinge loss, or its Wasserstein loss with gradient penalty."""
        real_logits, fake_logits = self.D(x).logits, self.D(fake).logits
        if not self.penalty:
            return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        share = torch.rand(len(x), 1, 1, 1, device=x.device)
        between = (share * x + (1 - share) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.D(between).logits.sum(), between, create_graph=True)
        return fake_logits.mean() - real_logits.mean() + 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def metrics_table() -> Table:
    """The images per second of a whole evaluation, and of generator and extractor alone."""
    table = Table(
        "extractor, protocol", "lit_gan, images/s", "bare, images/s", "ratio", title="medians of paired rounds"
    )
    for metrics in ("classifier", "efficientnet_lite0"):
        config = config_of([f"metrics={metrics}"])
        source, gan, suite = build_source(config), build_gan(config), build_part(config.metrics.suite)
        for name, rounds in EVALUATIONS.items():
            protocol = build_protocol(config, name)
            measure(gan, suite, source, protocol, 0, "last")
            pairs = [evaluation_round(gan, suite, source, protocol) for _ in range(rounds)]
            table.add_row(f"{metrics}, {name} ({protocol.generated})", *medians(pairs))
    return table


def evaluation_round(gan: GAN, suite: Suite, source: Source, protocol: EvalProtocol) -> tuple[float, float]:
    """The images per second of a whole evaluation, and of nothing but drawing, quantising and
    extracting as many."""
    seconds = measure(gan, suite, source, protocol, 0, "last")["seconds"]
    n = max(protocol.generated, protocol.inception_score)
    draw, batches = Sampler(gan.G, protocol.seed), protocol.batches(n)
    bare = 1 / rate(lambda: [suite.extractor(to_uint8(draw(size))) for size in batches], 1, gan.device)
    return n / seconds, n / bare


def medians(pairs: list[tuple[float, float]]) -> tuple[str, str, str]:
    """The medians of both speeds, and of the rounds' ratios."""
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return f"{ours:.2f}", f"{bare:.2f}", f"{ratio:.3f}"


def rate(action: Callable[[], Any], times: int, device: torch.device) -> float:
    """How often per second an action can be done, measured over a number of times."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(times):
        action()
    synchronise(device)
    return times / (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    """Waits until the GPU has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
