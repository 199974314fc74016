"""`make bench`: the speed of lit_gan against loops written by hand, interleaved in one process.

The table replaces the one in docs/results.md.
"""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from lightning.pytorch import Callback, Trainer
from omegaconf import DictConfig

from lit_gan import __version__
from lit_gan.build import build_data, build_gan, build_part, build_protocol, build_source
from lit_gan.callbacks import essential_callbacks
from lit_gan.data import Source, to_uint8
from lit_gan.metrics import EvalProtocol, Suite
from lit_gan.metrics.measure import measure
from lit_gan.module import GAN
from lit_gan.sampling import Sampler
from lit_gan.tasks.trainer import ask_cheaply_for_gpus
from lit_gan.tasks.training import quieten_libraries
from loops import Loop, TunedLoop

SNGAN = ["data=digits", "data.image_size=32", "data.channels=3", "optim=sngan_b"]
TOY = ["experiment=wgan_gp_gaussians"]
CASES = {
    "standard CNN, width 64": [*SNGAN, "model=sngan_cnn", "model.width=64"],
    "standard CNN, width 16": [*SNGAN, "model=sngan_cnn", "model.width=16"],
    "standard CNN, width 8": [*SNGAN, "model=sngan_cnn", "model.width=8"],
    "ResNet, width 16": [*SNGAN, "model=sngan_resnet", "model.width=16"],
    "ResNet, width 16, n_dis 5": [*SNGAN, "model=sngan_resnet", "model.width=16", "optim.n_dis=5"],
    "DCGAN, width 64": [*SNGAN, "model=dcgan", "model.width=64"],
    "DCGAN, width 32, gradient penalty": [*SNGAN, "model=dcgan", "loss=wasserstein", "reg=gradient_penalty"],
    "8 Gaussians, width 128, gradient penalty, n_dis 5": TOY,
}
"""What is trained, hinge with spectral norm where nothing else is said: the overrides of each case."""

VARIANTS = {"lit_gan": [], "channels_last=false": ["channels_last=false"]}
"""How lit_gan trains it, on every machine."""

GPU_CASES = {"ResNet, the paper's width, n_dis 5": [*SNGAN, "model=sngan_resnet", "optim.n_dis=5", "g_batch_size=128"]}
"""What only a GPU trains in a race's time."""

GPU_VARIANTS = {"compile=true": ["compile=true"], "bf16": ["trainer.precision=bf16-mixed"]}
"""And on a GPU only: on a CPU compiling costs a minute for each case and bf16 is slower."""

ROUNDS = 7
"""The rounds of a race that count; one before them warms up."""

SECONDS = 1.5
"""How long the tuned loop trains in a round, about; the others make as many updates."""

EVALUATIONS = {"quick": 21, "full": 3}
"""The paired rounds of an evaluation under each protocol."""

RESULTS = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- made by make bench -->\n", "<!-- end -->\n"


def main() -> None:
    """Measures, prints the tables and writes them into docs/results.md."""
    quieten_libraries()
    lines = [machine(), "", *training_table(), "", *evaluation_table(), ""]
    before, rest = RESULTS.read_text("utf-8").split(BEGIN)
    RESULTS.write_text(before + BEGIN + "\n".join(lines) + END + rest.split(END)[1], "utf-8")


def machine() -> str:
    """The sentence about where the figures come from."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    return (
        f"Measured on {platform.machine()}, {gpu}, with lit_gan {__version__}, torch {torch.__version__}, "
        f"lightning {lightning.__version__}: medians of {ROUNDS} rounds and, in brackets, their range."
    )


def training_table() -> list[str]:
    """Generator updates per second over those of the tuned loop, as Markdown; each row is printed
    when it is there."""
    on_gpu = torch.cuda.is_available()
    variants, cases = (VARIANTS | GPU_VARIANTS, CASES | GPU_CASES) if on_gpu else (VARIANTS, CASES)
    lines = row("networks", "tuned loop, updates/s", "plain loop", *variants), row(*["---"] * (3 + len(variants)))
    print(*lines, sep="\n", flush=True)
    table = list(lines)
    for name, overrides in cases.items():
        races = [race(config_of([*overrides, *variant])) for variant in variants.values()]
        tuned = statistics.median(each["tuned"] for each in races[0])
        line = row(name, f"{tuned:.3g}", ratio(races[0], "plain"), *(ratio(each, "lit_gan") for each in races))
        print(line, flush=True)
        table.append(line)
    return table


def row(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def ratio(rounds: list[dict[str, float]], name: str) -> str:
    """The median of a competitor's speed over that of the tuned loop, and the range over the
    rounds."""
    ratios = [each[name] / each["tuned"] for each in rounds]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def config_of(overrides: list[str]) -> DictConfig:
    """The training config with overrides."""
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        return hydra.compose("train", overrides=[*overrides, "callbacks=none"])


def race(config: DictConfig) -> list[dict[str, float]]:
    """The updates per second of lit_gan, the tuned and the plain loop, one entry for each round."""
    source = build_source(config)
    gan, data = build_gan(config), build_data(config, source)
    rounds = Rounds(lambda device: {"tuned": TunedLoop(config, source, device), "plain": Loop(config, source, device)})
    ask_cheaply_for_gpus()
    trainer = Trainer(
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[*essential_callbacks(gan), rounds],
        accelerator=config.trainer.accelerator,
        precision=config.trainer.precision,
        devices=1,
    )
    trainer.fit(gan, data)
    return rounds.speeds[1:]


class Rounds(Callback):
    """Lets the rivals make as many updates after each round of Lightning's, so that all meet the
    same machine."""

    def __init__(self, rivals: Callable[[torch.device], dict[str, Loop]]):
        self.make_rivals = rivals
        self.rivals: dict[str, Loop] = {}
        self.speeds: list[dict[str, float]] = []
        self.updates, self.start = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Finds how many updates the tuned loop makes in `SECONDS`."""
        self.rivals = self.make_rivals(pl_module.device)
        for rival in self.rivals.values():
            rival.update()
        self.updates = max(3, round(SECONDS * rate(self.rivals["tuned"].update, 3, pl_module.device)))

    def on_train_batch_start(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Starts our clock at the beginning of a round."""
        if trainer.global_step % self.updates == 0:
            synchronise(pl_module.device)
            self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:
        """Stops our clock at the end of a round, and gives the rivals their turn."""
        if trainer.global_step % self.updates == 0:
            synchronise(pl_module.device)
            speeds = {"lit_gan": self.updates / (time.perf_counter() - self.start)}
            for name, rival in self.rivals.items():
                speeds[name] = rate(rival.update, self.updates, pl_module.device)
            self.speeds.append(speeds)
            trainer.should_stop = len(self.speeds) > ROUNDS


def evaluation_table() -> list[str]:
    """The images per second of a whole evaluation, over those of generator and extractor alone."""
    lines = [row("extractor, protocol", "bare, images/s", "lit_gan"), row(*["---"] * 3)]
    for metrics in ("classifier", "efficientnet_lite0"):
        config = config_of([f"metrics={metrics}"])
        source, gan, suite = build_source(config), build_gan(config), build_part(config.metrics.suite)
        for name, rounds in EVALUATIONS.items():
            protocol = build_protocol(config, name)
            measure(gan, suite, source, protocol, 0, "last")
            speeds = [evaluation_round(gan, suite, source, protocol) for _ in range(rounds)]
            bare = statistics.median(each["tuned"] for each in speeds)
            images = f"{metrics}, {name} ({protocol.generated} images)"
            lines.append(row(images, f"{bare:.0f}", ratio(speeds, "lit_gan")))
    print(*lines, sep="\n", flush=True)
    return lines


def evaluation_round(gan: GAN, suite: Suite, source: Source, protocol: EvalProtocol) -> dict[str, float]:
    """The images per second of a whole evaluation, and of nothing but drawing, quantising and
    extracting as many."""
    seconds = measure(gan, suite, source, protocol, 0, "last")["seconds"]
    n = max(protocol.generated, protocol.inception_score)
    draw, batches = Sampler(gan.G, protocol.seed), protocol.batches(n)
    bare = 1 / rate(lambda: [suite.extractor(to_uint8(draw(size))) for size in batches], 1, gan.device)
    return {"lit_gan": n / seconds, "tuned": n / bare}


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
