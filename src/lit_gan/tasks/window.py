"""The page of `python -m lit_gan.explore`: what somebody sets on it, and what is shown for that.

Imports Gradio, which is an extra: nothing but the command that opens the page may import this file.
"""

import base64
import io
from collections.abc import Callable
from html import escape
from typing import Any

import gradio
from PIL import Image

from lit_gan.errors import UserError
from lit_gan.figures.pictures import Page, Picture
from lit_gan.tasks.explored import Answer, Explored, Wish
from lit_gan.tasks.sample import MOST_IN_GRID

ALL, NOTHING = "all", "nothing"
"""The choices of samples of every class, and of no second picture."""

TRUNCATIONS = {
    "latent vectors": "their largest absolute value",
    "styles": "psi, the share of their way from the mean style that they go",
}
"""By what can be truncated: the meaning of a truncation's number."""

STYLE = """
.gradio-container { width: 100%; max-width: 1500px !important; margin: 0 auto; padding: 1rem 1.5rem !important; }
.heading h1 { font-size: 1.35rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
.heading p { margin: 0.2rem 0 0; color: var(--body-text-color-subdued); font-size: 0.9rem; overflow-wrap: anywhere; }
.pair { display: flex; gap: 1.2rem; align-items: flex-start; }
.pair figure { flex: 1 1 0; min-width: 0; margin: 0; }
.pair figcaption { margin: 0 0 0.45rem; font-weight: 600; }
.pair figcaption span { font-weight: 400; color: var(--body-text-color-subdued); }
.pair img { width: min(100%, 70vh * var(--ratio)); image-rendering: pixelated; border-radius: 4px; }
.rows { flex-direction: column; }
.rows figure { width: 100%; }
.answer pre { overflow-x: auto; font-size: 0.85rem; line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere; }
.command { margin: 0.8rem 0 0; font-size: 0.85rem; color: var(--body-text-color-subdued); }
.command code { user-select: all; overflow-wrap: anywhere; }
.mistake { border-left: 3px solid #D55E00; padding: 0.4rem 0.8rem; margin: 0; }
#scores img { background: white; border-radius: 4px; padding: 0.5rem; width: 100%; max-width: 65rem; }
"""

LOOK = {
    "theme": gradio.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],  # those of Gradio's own themes come from the internet
        font_mono=["ui-monospace", "monospace"],
    ),
    "css": STYLE,
}
"""How the page looks, for Gradio's `launch`."""


def window(explored: Explored, n: int, seed: int) -> gradio.Blocks:
    """The page about a generator.

    Args:
        n: samples that are shown first, drawn with this seed.
    """
    with gradio.Blocks(title=f"lit_gan: {explored.name}", analytics_enabled=False, fill_width=True) as page:
        gradio.HTML(title_html(explored), elem_classes="heading")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=260):
                controls = sample_controls(explored, n, seed)
            with gradio.Column(scale=4, min_width=480):
                with gradio.Tab("Samples"):
                    show(page, lambda *values: samples_html(explored, *values), controls, "samples")
                with gradio.Tab("Walk"):
                    walk = [*controls, *walk_controls(explored, n)]
                    show(page, lambda *values: walk_html(explored, *values), walk, "walk")
                if explored.directory is not None:
                    with gradio.Tab("Scores") as tab:
                        show(page, lambda: scores_html(explored), [], "scores", tab.select)
    return page


def sample_controls(explored: Explored, n: int, seed: int) -> list[gradio.components.Component]:
    """The controls of what `wanted` reads, in its order; those that the generator has no use for
    are not seen."""
    names, classes = list(explored.weights), explored.classes
    return [
        gradio.Dropdown(names, value=names[0], label="checkpoint", elem_id="checkpoint"),
        gradio.Dropdown([NOTHING, *names], value=NOTHING, label="beside it", elem_id="beside", visible=len(names) > 1),
        gradio.Number(seed, label="seed", precision=0, minimum=0, elem_id="seed"),
        gradio.Slider(1, MOST_IN_GRID, n, step=1, label="samples", elem_id="n", buttons=[]),
        gradio.Dropdown(
            [(ALL, ALL), *((name, str(number)) for number, name in enumerate(classes))],
            value=ALL,
            label="class",
            elem_id="class",
            visible=bool(classes),
        ),
        *truncation_controls(explored.first.truncatable),
    ]


def truncation_controls(truncatable: str | None) -> list[gradio.components.Component]:
    """The controls of whether latent vectors or styles are truncated, and by which number; not seen
    where neither can be."""
    said = {"label": "truncation", "info": TRUNCATIONS.get(truncatable), "visible": truncatable is not None}
    return [
        gradio.Checkbox(False, label=f"truncated {truncatable}", elem_id="truncated", visible=truncatable is not None),
        gradio.Slider(0.05, 2, 0.7, step=0.05, elem_id="truncation", buttons=[], **said),
    ]


def walk_controls(explored: Explored, n: int) -> list[gradio.components.Component]:
    """The controls of where a walk begins and ends, and of its steps."""
    columns = max(1, n // len(explored.classes)) if explored.classes else n
    where = "column of the grid, or sample of one class, from 0" if explored.classes else "sample of the grid, from 0"
    with gradio.Row():
        return [
            gradio.Number(0, label="from", info=where, precision=0, minimum=0, elem_id="from"),
            gradio.Number(min(1, columns - 1), label="to", info=where, precision=0, minimum=0, elem_id="to"),
            gradio.Slider(
                2, 25, 9, step=1, label="steps", info="both ends are among them", elem_id="steps", buttons=[]
            ),
        ]


def show(
    page: gradio.Blocks,
    answer: Callable[..., str],
    controls: list[gradio.components.Component],
    name: str,
    *more: Callable,
) -> None:
    """Adds a part of the page that shows an answer, anew whenever a control changes.

    Args:
        answer: gives HTML for the values of the controls.
        name: of the part, by which a program finds it on the page.
        more: other events at which it is asked again.
    """
    place = gradio.HTML(elem_id=name, elem_classes="answer")
    gradio.on(
        [page.load, *(control.change for control in controls), *more],
        lambda *values: answer_html(answer, *values),
        controls,
        place,
        trigger_mode="always_last",  # while a slider moves, what it has passed is left out
        show_progress="hidden",
        api_visibility="private",
    )


def answer_html(answer: Callable[..., str], *values: Any) -> str:
    """The HTML of an answer or, where a user can put something right, the sentence about that."""
    try:
        return answer(*values)
    except UserError as error:
        return f'<p class="mistake">{escape(str(error))}</p>'


def wanted(seed: int | None, n: int, label: str, truncated: bool, truncation: float) -> Wish:
    """The samples that the controls ask for.

    Raises:
        UserError: a value is impossible.
    """
    return Wish(n, seed, None if label == ALL else int(label), truncation if truncated else None)


def samples_html(explored: Explored, name: str, beside: str, *values: Any) -> str:
    """The samples of one or two checkpoints, and the command that writes them.

    Args:
        values: of the other controls, see `wanted`.

    Raises:
        UserError: a value is impossible, or a checkpoint cannot be read.
    """
    wish = wanted(*values)
    shown = {each: explored.samples(each, wish) for each in shown_weights(name, beside)}
    return pair("samples", shown) + command_line(explored.command(name, wish))


def walk_html(explored: Explored, name: str, beside: str, *values: Any) -> str:
    """A walk between two latent points with the weights of one or two checkpoints.

    Args:
        values: of the other controls: those of `wanted`, then where the walk begins and ends, and
            its steps.

    Raises:
        UserError: a value is impossible, or a checkpoint cannot be read.
    """
    *of_samples, start, end, steps = values
    wish = wanted(*of_samples)
    shown = {each: explored.walk(each, wish, start, end, steps) for each in shown_weights(name, beside)}
    return pair("walk", shown, "pair rows")


def shown_weights(name: str, beside: str) -> list[str]:
    """The one or two weights that are to be shown."""
    return [name] if beside in (NOTHING, name) else [name, beside]


def scores_html(explored: Explored) -> str:
    """The curves of a run so far, and what is known of it in lines."""
    curves = explored.curves()
    figure = (
        "<p>Nothing has been recorded yet.</p>"
        if curves is None
        else image(curves, "image/svg+xml", "course of the training")
    )
    return f"{figure}<pre>{escape(chr(10).join(explored.lines()))}</pre>"


def title_html(explored: Explored) -> str:
    """The title of the page, and what the run is."""
    about = next((line.removeprefix("choices").strip() for line in explored.lines() if line.startswith("choices")), "")
    return f"<h1>{escape(explored.name)}</h1><p>{escape(about)}</p>"


def pair(what: str, shown: dict[str, Answer], classes: str = "pair") -> str:
    """Answers side by side, each below the name of its weights."""
    figures = (
        f"<figure><figcaption>{escape(name)} <span>of update {answer.update}</span></figcaption>"
        f"{made_html(answer.made, f'{what}: {name}')}</figure>"
        for name, answer in shown.items()
    )
    return f'<div class="{classes}">{"".join(figures)}</div>'


def made_html(made: Picture | Page, words: str) -> str:
    """A picture with its pixels as they are, or lines of text."""
    if isinstance(made, Page):
        return f"<pre>{escape(str(made))}</pre>"
    file, (height, width, _) = io.BytesIO(), made.pixels.shape
    Image.fromarray(made.pixels.numpy()).save(file, format="PNG")
    return image(file.getvalue(), "image/png", words, f"--ratio: {width / height:.4f}")


def image(content: bytes, kind: str, words: str, style: str = "") -> str:
    """An image that is a part of the page, so that no file is left anywhere.

    Args:
        kind: "image/png" or "image/svg+xml".
        words: said in its place to who cannot see it.
        style: CSS of its own.
    """
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(words)}" style="{style}" src="data:{kind};base64,{data}">'


def command_line(command: str | None) -> str:
    """The command that writes what is shown, ready to be copied."""
    return "" if command is None else f'<p class="command">As files: <code>{escape(command)}</code></p>'
