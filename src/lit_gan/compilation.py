"""Networks whose calls torch compiles: faster, and differentiable once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch._functorch.partitioners import default_partition
from torch._inductor.custom_graph_pass import CustomPartitionerFn

from lit_gan.errors import UserError, one_line
from lit_gan.game import Labels, Verdict


class KeepAll(CustomPartitionerFn):
    """Has the backward pass read what the forward pass has kept, as it does without a compiler.

    torch's own choice is to compute cheap things again in the backward pass. It does so from
    buffers as well that the forward pass has changed, and returns a wrong gradient: that of
    spectral norm, whose vectors move in each pass (seen in torch 2.14).
    """

    def __call__(self, gm: torch.fx.GraphModule, joint_inputs: Sequence[object], **kwargs: Any) -> tuple:
        """The graphs of both passes."""
        kwargs.pop("compiler", None)  # meant for torch's own choice
        return default_partition(gm, joint_inputs, **kwargs)

    def uuid(self) -> str:
        """What torch's cache of compiled graphs knows this choice by."""
        return "lit_gan.compilation.KeepAll"


def compiler_of(device: torch.device) -> dict[str, Any]:
    """torch.compile's settings for a device: on a GPU calls become CUDA graphs, as with its
    mode="reduce-overhead"."""
    return {"options": {"custom_partitioner_fn": KeepAll(), "triton.cudagraphs": device.type == "cuda"}}


def compile_calls(network: nn.Module, **settings: Any) -> None:
    """Lets torch compile what a player computes when it is called.

    This is done in place: weights keep their names, and copies of the network are not compiled.

    torch cannot differentiate a compiled call twice. So a call of which both the input and the
    weights want a gradient is not compiled: in a turn of the game only what asks for D's slope makes
    such calls, to differentiate it by the weights. Whatever differentiates twice in another way is
    refused.

    Args:
        settings: of torch.compile.

    Raises:
        UserError: later, by a call that torch cannot compile, or by a backward pass whose gradient
            is to be differentiated itself.
    """
    # not dynamic: batches have one or two sizes, each is faster with a graph of its own, and a resumed run has the same
    network.compile(dynamic=False, **settings)
    compiled = network._compiled_call_impl

    def call(x: Tensor, y: Labels | None = None) -> Tensor | Verdict:
        if x.requires_grad and any(parameter.requires_grad for parameter in network.parameters()):
            return network._call_impl(x, y)
        try:
            outputs = compiled(x, y)
        except TorchDynamoException as error:
            raise UserError(why_not_compiled(error)) from error
        return kept(outputs) if isinstance(outputs, Tensor) else Verdict(*map(kept, outputs))

    network._compiled_call_impl = call  # where torch keeps it, too, and which copies and pickles leave out


def kept(output: Tensor) -> Tensor:
    """A compiled call's output, which no later call overwrites, and whose gradient is a number."""
    if output.requires_grad:
        output.register_hook(refuse_graph)
    return output.clone() if output.is_cuda else output  # CUDA graphs write to the same place every time


def refuse_graph(gradient: Tensor) -> None:
    """Refuses a backward pass that is to be differentiated itself, whose graph torch 2.11 leaves out
    without a word.

    Raises:
        UserError: this is one.
    """
    if torch.is_grad_enabled():
        raise UserError(
            "compile=true does not go with a term that differentiates a gradient in this way: set compile=false, or "
            "let the term ask a copy.deepcopy of the network, which is not compiled."
        )


def why_not_compiled(error: TorchDynamoException) -> str:
    """The sentence about a network that torch cannot compile."""
    reason = one_line(str(error).partition("\n\n")[0]).rstrip(".")
    return (
        f"compile=true cannot be had here, as torch says ({reason}): set compile=false or, on a CPU without a C++ "
        f"compiler, install g++."
    )
