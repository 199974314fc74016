"""D's weights: singular values, spectral norms over training, histograms."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_gan.analysis.base import Analysis, Finding
from lit_gan.analysis.figures import SHADES, panels, titled_figure
from lit_gan.analysis.subject import Subject
from lit_gan.errors import UserError
from lit_gan.figures.style import BLUE, VERMILION
from lit_gan.game import Discriminator
from lit_gan.layers import singular_values, weight_layers
from lit_gan.ranges import Count, checked
from lit_gan.records.curve_names import SPECTRAL_NORM
from lit_gan.records.layout import metrics_path
from lit_gan.records.score_names import four_digits
from lit_gan.records.table import read_table


def stable_rank(sigma: Float[Tensor, " r"]) -> float:
    """The number of directions that a layer uses, sum(sigma^2) / sigma_1^2, from its singular
    values, largest first."""
    return (sigma.square().sum() / sigma[0].square()).item()


class SingularValues(Analysis):
    """Squared singular values of D's layers, scaled so that the first is 1. Miyato et al. 2018,
    Figure 3.

    The weights are those that D applies, so under spectral and weight normalisation the normalised
    ones. The matrix of a layer is [out, in * height * width].

    Columns: layer, index, sigma, scaled_square = sigma^2 / sigma_1^2, and the layer's stable rank,
    the sum of its scaled squares.
    """

    def find(self, subject: Subject) -> Finding:
        """Draws one panel for each layer."""
        spectra = singular_values(subject.D)
        ranks = {name: stable_rank(sigma) for name, sigma in spectra.items()}
        titles = [f"{name}: stable rank {ranks[name]:.1f} of {len(sigma)}" for name, sigma in spectra.items()]
        plot, grid = panels(titles, "Singular values of D's layers", "index", "squared, first = 1", sharey=True)
        rows = []
        for axes, (name, sigma) in zip(grid, spectra.items(), strict=True):
            squares = (sigma / sigma[0]).square().tolist()
            axes.plot(range(1, len(sigma) + 1), squares, color=BLUE, marker="." if len(sigma) < 40 else "")
            axes.set(xlim=(0, len(sigma) + 1), ylim=(0, 1.05))
            for index, (value, square) in enumerate(zip(sigma.tolist(), squares, strict=True), start=1):
                row = {"layer": name, "index": index, "sigma": value, "scaled_square": square}
                rows.append(row | {"stable_rank": ranks[name]})
        words = ", ".join(f"{name} {rank:.1f}/{len(spectra[name])}" for name, rank in ranks.items())
        return Finding(f"stable ranks {words}", rows, plot)


class SpectralNorms(Analysis):
    """The spectral norm of every layer of D over training. Miyato et al. 2018, Figure 9.

    The norms are read from `metrics.csv`, where the callback `Spectra` wrote them. Columns: update,
    layer, sigma.
    """

    def check(self, subject: Subject) -> None:
        """Refuses a run that was trained without the callback.

        Raises:
            UserError: says how to train with it.
        """
        self.course(subject)

    def course(self, subject: Subject) -> dict[str, list[tuple[int, float]]]:
        """The points (update, sigma) of every layer.

        Raises:
            UserError: `metrics.csv` has none.
        """
        path = metrics_path(subject.directory)
        columns, rows = read_table(path) if path.exists() else ([], [])
        names = [name for name in columns if name.startswith(SPECTRAL_NORM)]
        if not names:
            raise UserError(
                f"analysis=spectral_norms finds no spectral norms in {path}: train with callbacks=[default,spectra]."
            )
        return {
            name.removeprefix(SPECTRAL_NORM): [(int(row["update"]), float(row[name])) for row in rows if row[name]]
            for name in names
        }

    def find(self, subject: Subject) -> Finding:
        """Draws one line for each layer, from the input's (dark) to the output's (bright)."""
        course = self.course(subject)
        plot = titled_figure(7, 4.5, "Spectral norms of D's layers")
        axes = plot.subplots()
        for shade, (name, points) in zip(shades(len(course)), course.items(), strict=True):
            axes.plot(*zip(*points, strict=True), color=shade, marker="o", markersize=3, label=name)
        axes.set(xlabel="generator update", ylabel="largest singular value")
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        rows = [{"update": at, "layer": name, "sigma": value} for name, line in course.items() for at, value in line]
        values = [row["sigma"] for row in rows]
        return Finding(f"between {four_digits(min(values))} and {four_digits(max(values))}", rows, plot)


def shades(n: int) -> list:
    """The colours of n shades from dark to bright, without the palest, which would be lost on white
    paper."""
    from matplotlib import colormaps

    return list(colormaps[SHADES](torch.linspace(0, 0.9, n).numpy()))


class Weights(Analysis):
    """Histograms of the weights that D applies. Gulrajani et al. 2017, Figure 1b.

    Columns: layer ("all" for all together), left and right end of a bin, weights in it, and the
    layer's `at_extremes`: the share of weights with |w| >= 0.99 max |w|, which weight clipping
    drives to 1.

    Args:
        bins: how many each histogram has.
    """

    @checked
    def __init__(self, bins: Count = 60):
        self.bins = bins

    def find(self, subject: Subject) -> Finding:
        """Draws one panel for all weights, and one for each layer."""
        weights = all_weights(subject.D)
        shares = {name: share_at_extremes(values) for name, values in weights.items()}
        titles = [f"{name}: {share:.1%} at the extremes" for name, share in shares.items()]
        plot, grid = panels(titles, "D's weights (dashed: 0.99 of the largest)", "weight", "number of weights")
        rows = []
        for axes, (name, values) in zip(grid, weights.items(), strict=True):
            limit = values.abs().max().item()
            counts, edges = torch.histogram(values, self.bins, range=(-limit, limit))
            axes.stairs(counts.numpy(), edges.numpy(), fill=True, color=BLUE)
            axes.set_xticks([-limit, 0, limit], [f"{-limit:.2g}", "0", f"{limit:.2g}"])
            for end in (-0.99 * limit, 0.99 * limit):
                axes.axvline(end, color=VERMILION, linestyle="--", linewidth=1)
            ends = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.int().tolist(), strict=True)
            rows += [
                {"layer": name, "left": left, "right": right, "weights": count, "at_extremes": shares[name]}
                for left, right, count in ends
            ]
        return Finding(f"{shares['all']:.2%} of D's weights at the extremes", rows, plot)


@torch.no_grad()
def all_weights(D: Discriminator) -> dict[str, Float[Tensor, " n"]]:
    """The weights of each layer of D by its name, on the CPU, after those of "all" layers
    together."""
    layers = {name: flat_weight(layer) for name, layer in weight_layers(D)}
    return {"all": torch.cat(list(layers.values())), **layers}


def flat_weight(layer: nn.Module) -> Float[Tensor, " n"]:
    """The weight that a layer applies, as one vector on the CPU."""
    return layer.weight.detach().flatten().float().cpu()


def share_at_extremes(weights: Float[Tensor, " n"]) -> float:
    """The share of weights with |w| >= 0.99 max |w|."""
    size = weights.abs()
    return (size >= 0.99 * size.max()).float().mean().item()
