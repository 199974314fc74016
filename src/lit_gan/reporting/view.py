"""The `figure` block of a sweep's config: what its report shows."""

from dataclasses import dataclass, field

from omegaconf import DictConfig

from lit_gan.errors import UserError

KINDS = ("bars", "lines", "curves", "table", "time")
SEED = "seed"


@dataclass(frozen=True)
class View:
    """What a report shows of a sweep.

    Attributes:
        title: of the sweep, which names the paper and its figure.
        kind: of the main figure: "bars" (a group along x, a bar for each hue), "lines" (score
            against a numeric x), "curves" (score against generator updates), "table" or "time"
            (seconds per 100 generator updates).
        x, hue: axes of the sweep.
        scores: last parts of the names of scores, "fid"; if empty, all that were measured.
        paper: name of the file of the paper's numbers, `papers/<paper>.csv`.
        names: axis, or value of an axis -> the name by which it is called.
    """

    title: str
    kind: str = "bars"
    x: str | None = None
    hue: str | None = None
    scores: tuple[str, ...] = ()
    paper: str | None = None
    names: dict[str, str] = field(default_factory=dict)


def read_view(block: DictConfig | None, axes: list[str], sweep: str) -> View:
    """The view that a config's `figure` block describes; without one, the first axis is hue and the
    second x.

    Raises:
        UserError: it names a kind or an axis that does not exist.
    """
    if block is None:
        hue, x, *_ = [*(axis for axis in axes if axis != SEED), None, None]
        return View(title=sweep, hue=hue, x=x)
    view = View(
        title=block.get("title") or sweep,
        kind=block.get("kind", "bars"),
        x=block.get("x"),
        hue=block.get("hue"),
        scores=tuple(block.get("scores") or ()),
        paper=block.get("paper"),
        names={str(value): str(name) for value, name in (block.get("names") or {}).items()},
    )
    check_view(view, axes, sweep)
    return view


def check_view(view: View, axes: list[str], sweep: str) -> None:
    """Refuses a kind that does not exist and an axis that the sweep does not have.

    Raises:
        UserError: names the setting.
    """
    if view.kind not in KINDS:
        raise UserError(f"figure.kind={view.kind} of the sweep {sweep} does not exist: choose {', '.join(KINDS)}.")
    for key, axis in {"x": view.x, "hue": view.hue}.items():
        if axis is not None and axis not in axes:
            raise UserError(f"figure.{key}={axis} is no axis of the sweep {sweep}: it has {', '.join(axes)}.")
