"""Every generator as an ONNX model and as a program of torch: the same samples, without lit_gan, in batches of any
size."""

import io
import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import lit_gan
from lit_gan.build import build_gan, build_source
from lit_gan.catalogue.configs import choices
from lit_gan.cli.launch import launch
from lit_gan.exporting.description import describe
from lit_gan.exporting.formats import write_formats
from lit_gan.tasks.export import export
from lit_gan.tasks.train import train

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["++model.width=4", "reg=none", "metrics=none", "batch_size=4"]
COMPANIONS = {
    "model=dirac": ["data=dirac"],
    "model=text_resnet": ["data=text"],
    "model=autoencoder_mlp": ["data=gaussians"],
    "model=biggan": ["labels=projection"],
    "model=r3gan": ["labels=projection"],
}
"""Data for which a network is made, and labels where they reach it in a way of its own."""
CHANGED = ["labels=cgan", "labels=projection", "labels=infogan", "reg=virtual_batch_norm"]
CHANGED += ["reg=spectral reg.spectral.networks=[d,g]"]
"""Choices that change the generator."""
CASES = [f"model={model}" for model in choices("model")] + CHANGED
SLOW = ["model=resnet101", "model=biggan_deep"]
SLOW += ["model=autoencoder", "model=autoencoder_mlp", "model=mlp_dcgan"]  # their G is that of another model


@pytest.mark.parametrize("case", [pytest.param(each, marks=pytest.mark.slow if each in SLOW else []) for each in CASES])
def test_programs_make_the_generators_samples(compose, case):
    config = compose(*TINY, *COMPANIONS.get(case, []), *case.split())
    gan = build_gan(config)
    G = gan.G.eval()
    with torch.no_grad():  # so that nothing is 0 that one may forget
        for parameter in G.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    told = describe(G, config, gan.regs_of_G, build_source(config))
    contents = write_formats(G, told, ["onnx", "torch"])
    z, y = G.draw(7), torch.arange(7) % (told["n_classes"] or 1)
    inputs = {"z": z, "y": y} if told["n_classes"] else {"z": z}
    with torch.no_grad():
        expected = G(z, y)
    session = onnxruntime.InferenceSession(contents["model.onnx"], providers=["CPUExecutionProvider"])
    (x,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, expected, atol=1e-4)
    assert expected.std() > 1e-4 or case == "model=dirac"
    assert {each.name: each.shape for each in session.get_inputs()} == {
        name: ["batch", *value.shape[1:]] for name, value in inputs.items()
    }
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("x", ["batch", *G.shape])]
    assert json.loads(session.get_modelmeta().custom_metadata_map["latents"]) == told["latents"]
    program = torch.export.load(io.BytesIO(contents["model.pt2"])).module()
    torch.testing.assert_close(program(*inputs.values()).detach(), expected)


def command(task, *arguments) -> None:
    """A command line, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [task.__name__, *map(str, arguments)])
        launch(task, task.__name__)


ALONE = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "lit_gan":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""
"""An interpreter that has no lit_gan."""


@pytest.mark.parametrize("labels", [pytest.param("none", marks=pytest.mark.slow), "cgan"])
def test_the_code_of_a_card_runs_where_there_is_no_lit_gan(labels, tmp_path):
    words = ["data.image_size=16", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "updates=1"]
    command(train, *words, "metrics=none", f"labels={labels}", f"hydra.run.dir={tmp_path / 'run'}")
    command(export, f"run={tmp_path / 'run'}", f"output={tmp_path / 'out'}")
    text = (tmp_path / "out" / "README.md").read_text()
    ours, draw, onnx, program, pixels = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "out" / "alone.py").write_text(
        f"{ALONE}\n{draw}{onnx}{pixels}by_onnx, seen = x, pixels\n{program}"
        f'np.savez("x.npz", z=z, y=y if "y" in dir() else 0, by_onnx=by_onnx, by_torch=x, seen=seen)\n'
    )
    subprocess.run([sys.executable, "alone.py"], cwd=tmp_path / "out", check=True)
    found = np.load(tmp_path / "out" / "x.npz")
    G = lit_gan.load(tmp_path / "out")
    with torch.no_grad():
        x = G(torch.from_numpy(found["z"]), None if labels == "none" else torch.from_numpy(found["y"]))
    np.testing.assert_allclose(found["by_onnx"], x, atol=1e-4)
    np.testing.assert_allclose(found["by_torch"], x, atol=1e-4)
    assert (found["seen"].dtype, found["seen"].shape) == (np.uint8, (16, 1, 16, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "out")
        exec(textwrap.dedent(ours), {})
    assert (tmp_path / "out" / "samples.png").is_file()


def test_text_and_its_alphabet(tmp_path):
    words = ["data=text", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "updates=1", "metrics=none"]
    command(train, *words, f"hydra.run.dir={tmp_path / 'run'}")
    command(export, f"run={tmp_path / 'run'}", f"output={tmp_path / 'out'}", "format=[safetensors,torch]")
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert len(told["alphabet"]) == told["shape"][0]
    text = (tmp_path / "out" / "README.md").read_text()
    assert "characters `alphabet` of `config.json`" in text
    assert "pipeline_tag" not in text
    assert len(re.search(r"~~~~~~\n(.*?)~~~~~~", text, re.DOTALL)[1].splitlines()) == 64
    assert not (tmp_path / "out" / "grid.png").exists()
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "out")
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(code, names)
    assert names["x"].shape == (16, *told["shape"])
