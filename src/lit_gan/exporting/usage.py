"""How the files of an export are used, as code for its card: it runs in the folder as it stands."""

from collections.abc import Sequence

from lit_gan.exporting.description import Description
from lit_gan.exporting.formats import FILES
from lit_gan.exporting.hub import PREFIX

HERE = "."
"""The address of a folder that is not on the Hub, for code that runs in it."""


def use(description: Description, files: Sequence[str], address: str) -> str:
    """The part of the card that shows every exported file in use.

    Args:
        files: the names of the exported files.
        address: what `lit_gan.load` is given.
    """
    parts = [with_lit_gan(description, address)] if FILES["safetensors"] in files else []
    if {FILES["onnx"], FILES["torch"]} & {*files}:
        parts.append("Without lit_gan, latent vectors are drawn like this:\n\n" + code_block(draw_code(description)))
    if FILES["onnx"] in files:
        parts.append(f"`{FILES['onnx']}` runs wherever ONNX does:\n\n" + code_block(onnx_code(description)))
    if FILES["torch"] in files:
        torch = description["versions"]["torch"]
        parts.append(
            f"`{FILES['torch']}` needs torch ({torch} made it) and NumPy:\n\n" + code_block(torch_code(description))
        )
    return "\n\n".join([*parts, outputs(description)])


def with_lit_gan(description: Description, address: str) -> str:
    """The weights, with the package that trained them."""
    extra = "hub" if address.startswith(PREFIX) else "export"
    place = "  # the folder of this card" if address == HERE else ""
    picture = "" if len(description["shape"]) == 2 else 'G.grid(64).save("samples.png")'
    code = f"""
import lit_gan

G = lit_gan.load("{address}"){place}
x = G.sample(16, seed=0)
{picture}
"""
    return f"With lit_gan and its extra `{extra}` (`pip install 'lit_gan[{extra}]'`):\n\n" + code_block(code)


def draw_code(description: Description) -> str:
    """NumPy's code for z and, where there are labels, y."""
    draws = [part["numpy"] for part in description["latents"]]
    z = draws[0] if len(draws) == 1 else f"np.concatenate([{', '.join(draws)}], 1)"
    n_classes = description["n_classes"]
    y = f"\ny = rng.integers({n_classes}, size=n)  # classes, 0 to {n_classes - 1}" if n_classes else ""
    return f"""
import numpy as np

n, rng = 16, np.random.default_rng(0)
z = {z}.astype(np.float32){y}
"""


def onnx_code(description: Description) -> str:
    """The code for onnxruntime."""
    given = '{"z": z, "y": y}' if description["n_classes"] else '{"z": z}'
    return f"""
import onnxruntime

session = onnxruntime.InferenceSession("{FILES["onnx"]}")
(x,) = session.run(None, {given})
"""


def torch_code(description: Description) -> str:
    """The code for torch without lit_gan."""
    given = ", ".join(f"torch.from_numpy({name})" for name in ("zy" if description["n_classes"] else "z"))
    return f"""
import torch

G = torch.export.load("{FILES["torch"]}").module()
x = G({given}).detach().numpy()
"""


def outputs(description: Description) -> str:
    """What the numbers of a sample mean, and how one makes something to look at of them."""
    shape = ", ".join(map(str, description["shape"]))
    said = f"`x` is float32, [n, {shape}]"
    if len(description["shape"]) == 3:
        code = "pixels = np.uint8((x * 127.5 + 128).clip(0, 255))"
        return f"{said}: [n, channels, height, width], meant to lie in [-1, 1].\n\n" + code_block(code)
    if description["alphabet"]:
        return f"{said}: at each position a distribution over the characters `alphabet` of `config.json`."
    return f"{said}."


def code_block(code: str) -> str:
    """Code as Markdown shows it."""
    return f"```python\n{code.strip()}\n```"
