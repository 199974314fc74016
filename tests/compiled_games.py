"""Plays games compiled and as they stand: `python compiled_games.py COMPILER GAMES` prints a line of JSON for each.

GAMES is a JSON list of lists of overrides. A line has the worst difference between both, in multiples of what rounding
may do to double precision, and how many compiled calls there were. A program of its own, because the checks of shapes
that tests have in place would be compiled as well.
"""

import json
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import hydra
import torch
from torch._dynamo import lookup_backend

from lit_gan.build import build_gan
from lit_gan.compilation import compile_calls, compiler_of
from lit_gan.errors import UserError
from lit_gan.layers import fixed

calls = []


def counted(graph, inputs):
    """torch's tracing of both passes, without its compiler."""
    compiled = lookup_backend("aot_eager")(graph, inputs)

    def run(*args):
        calls.append(graph)
        return compiled(*args)

    return run


COMPILERS = {"aot": {"backend": counted}, "inductor": compiler_of(torch.device("cpu"))}


def game(overrides, compiler):
    """A game in double precision."""
    with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
        gan = build_gan(hydra.compose("train", [*overrides, "optim=adam"])).double()
    optimizers, _ = gan.configure_optimizers()
    gan.optimizers = lambda: [SimpleNamespace(optimizer=optimizer) for optimizer in optimizers]
    for network in (gan.G, gan.D) if compiler else ():
        compile_calls(network, **compiler)
    return gan


def play(gan, player, n):
    """The terms of one player's objective on random samples; its gradient is left in the weights."""
    x = torch.randn(n, *gan.G.shape, dtype=torch.double).contiguous(memory_format=gan.layout)
    turn = gan.turn(player, x, torch.randint(gan.n_classes or 1, (n,)))
    with fixed(gan.D) if player == "g" else nullcontext():
        for reg in gan.regs.values():
            reg.stage(turn)
        terms = gan.terms(turn)
        sum(terms.values()).backward()
    with torch.no_grad():
        for reg in gan.regs.values():
            reg.project(turn)
    return terms


def course(gan):
    """All that four turns compute and leave: terms, gradients, and buffers in the end."""
    torch.manual_seed(1)
    found = {}
    for place, player in enumerate("dgdg"):
        gan.zero_grad()
        found |= {f"{place} {name}": term.detach() for name, term in play(gan, player, 8).items()}
        found |= {f"{place} {name}": p.grad for name, p in gan.named_parameters() if p.grad is not None}
    return found | dict(gan.named_buffers())


def distance(value, other):
    """The largest difference of two tensors, in multiples of what rounding may make of it."""
    return ((value - other).abs().max() / (1e-10 + 1e-6 * value.abs().max())).item()


def compare(overrides, compiler):
    """The comparison of one game."""
    torch._dynamo.reset()
    calls.clear()
    try:
        compiled, eager = course(game(overrides, COMPILERS[compiler])), course(game(overrides, None))
    except UserError as error:
        return {"refused": str(error)}
    assert compiled.keys() == eager.keys()
    apart = {name: distance(value.double(), compiled[name].double()) for name, value in eager.items()}
    worst = max(apart, key=apart.get)
    return {"worst": worst, "apart": apart[worst], "calls": len(calls)}


if __name__ == "__main__":
    for overrides in json.loads(sys.argv[2]):
        print(json.dumps(compare(overrides, sys.argv[1])), flush=True)
