"""An export sent to the Hugging Face Hub and read from there: its own library against a server on this machine."""

import json
import re
import sys
from pathlib import Path

import lit_gan.conf
import pytest
import torch

import lit_gan
from commands import command
from hub_server import TOKEN, Hub
from lit_gan.exporting.hub import is_trusted
from lit_gan.tasks.export import export
from lit_gan.tasks.train import train

pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=4", "trainer.accelerator=cpu", "updates=1", "metrics=none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    command(train, *TINY, f"hydra.run.dir={directory}")
    return directory


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The server, for a library that reads its settings when it is imported; nobody's own are looked at."""
    with Hub() as hub, pytest.MonkeyPatch.context() as patch:
        others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("huggingface_hub")}
        patch.setenv("HF_ENDPOINT", hub.address)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("HF_HUB_DISABLE_XET", "1")  # another server's protocol, which speaks no HTTP
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
            patch.delenv(name, raising=False)
        yield hub
        for name in [name for name in sys.modules if name.startswith("huggingface_hub")]:
            del sys.modules[name]
        sys.modules.update(others)


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def send(run, hub, token, tmp_path):
    """Exports the run to a repository: send("me/digits", "format=torch")."""

    def export_to(name, *arguments):
        command(export, f"run={run}", f"hub={name}", f"output={tmp_path / 'out'}", *arguments)
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    return export_to


@pytest.fixture
def refused(send):
    """The sentence with which an upload is refused."""

    def refusal(*arguments):
        with pytest.raises(SystemExit) as end:
            send(*arguments)
        return str(end.value.code)

    return refusal


def test_goes_to_the_hub_whole_and_comes_back(send, run, hub, capsys):
    files = send("me/digits", "format=safetensors")
    assert hub.files("me/digits") == files
    assert hub.private["me/digits"] is True
    said = capsys.readouterr().out
    assert f"sent to {hub.address}/me/digits" in said
    assert "HTTP" not in said
    assert b'lit_gan.load("hub:me/digits")' in files["README.md"]
    assert torch.equal(lit_gan.load("hub:me/digits").sample(3), lit_gan.load(run).sample(3))
    assert not any("README" in path or "grid" in path for path in hub.asked if "/resolve/" in path)


def test_another_export_is_one_commit_and_leaves_no_format_of_the_first(send, hub):
    send("me/twice", "format=safetensors", "private=false")
    send("me/twice", "format=torch", "private=false")
    assert len(hub.repositories["me/twice"]) == 3  # with the one that made it
    assert set(hub.files("me/twice")) == {"README.md", "config.json", "grid.png", "model.pt2"}
    assert hub.private["me/twice"] is False
    with pytest.raises(lit_gan.UserError, match=r"model\.safetensors is missing"):
        lit_gan.load("hub:me/twice")


def test_nothing_is_sent_unless_it_is_asked_for(run, hub, token, tmp_path):
    before = list(hub.asked)
    command(export, f"run={run}", "format=safetensors", f"output={tmp_path / 'out'}")
    assert hub.asked == before


def test_what_is_no_name_and_a_missing_token_are_refused_before_anything_is_done(refused, monkeypatch, tmp_path):
    assert "hub=digits must be USER/NAME" in refused("digits")
    monkeypatch.delenv("HF_TOKEN")
    assert "hub=me/digits needs a token of the Hub: type `hf auth login`" in refused("me/digits")
    assert not (tmp_path / "out").exists()


def test_a_wrong_token_is_a_sentence_and_the_folder_stays(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    sentence = refused("me/other", "format=safetensors")
    assert "hub=me/other takes no upload (" in sentence
    assert "\n" not in sentence
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_repository_that_is_not_there_is_a_sentence(hub):
    with pytest.raises(lit_gan.UserError, match=r"hub:me/nothing cannot be fetched \(.*network") as refusal:
        lit_gan.load("hub:me/nothing")
    assert "\n" not in str(refusal.value)


def test_a_name_that_is_none_is_a_sentence():
    with pytest.raises(lit_gan.UserError, match="hub:nothing must be USER/NAME"):
        lit_gan.load("hub:nothing")


@pytest.mark.parametrize("target", ["os.system", "lit_gan.models.dcgan.torch.hub.load"])
def test_code_of_others_is_not_called(send, hub, target):
    send("me/foreign", "format=safetensors")
    commit = hub.repositories["me/foreign"][-1]
    config = json.loads(commit["config.json"])
    config["model"]["G"]["norm"] = {"_target_": target, "_args_": ["false"]}
    hub.repositories["me/foreign"].append({**commit, "config.json": json.dumps(config).encode()})
    with pytest.raises(lit_gan.UserError, match=f"hub:me/foreign names {target}, which is none of lit_gan's"):
        lit_gan.load("hub:me/foreign")


def test_a_network_that_is_not_there_is_a_sentence_too(hub, monkeypatch):
    import huggingface_hub  # late, for it has read the server's address when it was imported

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(lit_gan.UserError, match=r"hub:me/away cannot be fetched \("):
        lit_gan.load("hub:me/away")


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "builtins.eval", "torch.load", "torch.hub.load", "lit_gan.tasks.train.train", "mine.Generator"),
        *("lit_gan.models.dcgan.torch.load", "lit_gan.models", "torch.nn.modules.module.functools.partial"),
        *("torch.nn.NoSuchLayer", "lit_gan.modelsandmore.x", "lit_gan.models.layers.Layers.__init__.__globals__"),
    ],
)
def test_what_is_not_trusted(target):
    assert not is_trusted(target)


@pytest.mark.parametrize("group", ["model", "reg", "labels"])
def test_every_network_and_regularizer_is_trusted(group):
    texts = [path.read_text() for path in (Path(lit_gan.conf.__file__).parent / group).glob("*.yaml")]
    found = {target for text in texts for target in re.findall(r"_target_: ([\w.]+)", text)}
    assert len(found) > 9
    assert not {target for target in found if not is_trusted(target)}
