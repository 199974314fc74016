"""A generator as the bytes of a file: its weights alone, or a program that computes its samples."""

import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lit_gan.errors import UserError, hint, one_line
from lit_gan.exporting.description import Description, as_strings
from lit_gan.game import Generator
from lit_gan.layers import n_classes_of
from lit_gan.system.quiet import quiet

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "torch": "model.pt2"}
"""The file of each format."""

NEEDED = {"safetensors": ["safetensors"], "onnx": ["onnx", "onnxscript", "onnxruntime"], "torch": []}
"""The packages that each format needs beside those of a training."""

TOLERANCE = 1e-4
"""How far a program's samples may be from the generator's, beside so large a share of them."""

OTHER = "choose format=safetensors, which needs lit_gan to be read"
"""The way out for a generator of which no program can be made."""

TRACED, TRIED = 2, 5
"""Batches of these sizes: one that is traced, and another one that the program is tried on."""


def check_formats(formats: Sequence[str]) -> None:
    """Refuses, before anything is loaded, formats that cannot be written here.

    Raises:
        UserError: there is no such format, none is asked for, or a package is missing.
    """
    if not formats:
        raise UserError(f"format=[] writes nothing: name at least one of {', '.join(FILES)}.")
    for name in formats:
        if name not in FILES:
            raise UserError(f"format={name} does not exist{hint(str(name), list(FILES))}")
        for package in NEEDED[name]:
            require_package(package, f"format={name}", "leave that format out")


def require_package(package: str, what: str, otherwise: str) -> None:
    """Imports a package of the extra `export`.

    Raises:
        UserError: it is not installed; `otherwise` is the other way out.
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"{what} needs {package}: pip install 'lit_gan[export]', or {otherwise}.") from error


def write_formats(G: Generator, description: Description, formats: Sequence[str]) -> dict[str, bytes]:
    """The content of each format's file, by the file's name.

    Args:
        G: on the CPU, in eval mode.

    Raises:
        UserError: torch cannot trace the generator, or a program computes other samples.
    """
    inputs = sample_inputs(G, TRACED)
    program = trace(G, inputs) if {"onnx", "torch"} & {*formats} else None
    writers: dict[str, Callable[[], bytes]] = {
        "safetensors": lambda: as_safetensors(G, description),
        "onnx": lambda: as_onnx(G, program, description),
        "torch": lambda: as_program(G, program, description),
    }
    return {FILES[name]: writers[name]() for name in formats}


def sample_inputs(G: Generator, n: int) -> tuple[Tensor, ...]:
    """n latent vectors, always the same, and n labels where the generator looks at them."""
    n_classes = n_classes_of(G)
    z = G.draw(n, torch.Generator().manual_seed(0))
    return (z,) if n_classes is None else (z, torch.arange(n) % n_classes)


def input_names(G: Generator) -> list[str]:
    """The names of a program's inputs: z, and y where there are labels."""
    return ["z"] if n_classes_of(G) is None else ["z", "y"]


def trace(G: Generator, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """The computation of samples as torch's operations, for batches of any size.

    Raises:
        UserError: it cannot be traced.
    """
    batch = Dim("batch")
    try:
        with torch.no_grad():
            return torch.export.export(G, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    except Exception as error:  # torch's tracer raises errors of any class
        raise UserError(
            f"format=onnx and format=torch cannot trace this generator ({first_sentence(error)}): {OTHER}."
        ) from error


def as_safetensors(G: Generator, description: Description) -> bytes:
    """The weights and buffers by their names, with the description in the header."""
    from safetensors.torch import save

    weights = {name: value.detach().contiguous() for name, value in G.state_dict().items()}
    return save(weights, {"format": "pt", **as_strings(description)})


def as_program(G: Generator, program: ExportedProgram, description: Description) -> bytes:
    """A file for `torch.export.load`, with the description as its extra files.

    Raises:
        UserError: it computes other samples.
    """
    file = io.BytesIO()
    with quiet():  # of a layout of weights that only matters on a GPU
        torch.export.save(program, file, extra_files=as_strings(description))
    check_same(G, "torch", lambda *inputs: torch.export.load(file).module()(*inputs))
    return file.getvalue()


def as_onnx(G: Generator, program: ExportedProgram, description: Description) -> bytes:
    """An ONNX model with inputs z [batch, z_dim] and y [batch], output x [batch, *shape].

    Raises:
        UserError: it computes other samples.
    """
    from onnx.helper import set_model_props
    from onnxruntime import InferenceSession

    names = input_names(G)
    model = onnx_model(program, names)
    set_model_props(model, as_strings(description))
    content = model.SerializeToString()
    session = InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        given = dict(zip(names, (each.numpy() for each in inputs), strict=True))
        return torch.from_numpy(session.run(None, given)[0])

    check_same(G, "onnx", run)
    return content


def onnx_model(program: ExportedProgram, names: list[str]) -> Any:
    """A traced computation as ONNX's protocol buffer, for batches of any size.

    Args:
        names: of the inputs.

    Raises:
        UserError: it has an operation that ONNX has not.
    """
    axes = {"dynamic_shapes": tuple({0: "batch"} for _ in names), "input_names": names, "output_names": ["x"]}
    try:
        with quiet("torch.onnx", "onnxscript", "onnx_ir"):  # of their passes, and of two inputs with the axis "batch"
            return torch.onnx.export(program, dynamo=True, verbose=False, **axes).model_proto
    except Exception as error:  # the exporter raises errors of any class
        raise UserError(f"format=onnx cannot express this generator ({first_sentence(error)}): {OTHER}.") from error


def first_sentence(error: Exception) -> str:
    """How the message of a tracer begins; the rest is a page of advice."""
    return one_line(str(error)).split(". ")[0] or type(error).__name__


@torch.no_grad()
def check_same(G: Generator, name: str, program: Callable[..., Tensor]) -> None:
    """Compares a program's samples with the generator's, on a batch of another size than was
    traced.

    Raises:
        UserError: they differ by more than `TOLERANCE`.
    """
    inputs = sample_inputs(G, TRIED)
    expected, found = G(*inputs), program(*inputs)
    if not torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        apart = (found - expected).abs().max().item()
        raise UserError(
            f"format={name} makes a program whose samples are up to {apart:.2g} from the generator's, which is too "
            f"far: choose another format, and please report the network."
        )
