"""Mistakes in configs and classes of one's own, and settings that nobody would look at: each ends in one sentence."""

import json
import shutil
import sys
from pathlib import Path

import lit_gan.conf
import pytest
from omegaconf import OmegaConf

from lit_gan.cli.arguments import complete_arguments
from lit_gan.cli.launch import launch
from lit_gan.cli.mistakes import unknown_choice
from lit_gan.tasks.analyze import analyze
from lit_gan.tasks.evaluate import evaluate
from lit_gan.tasks.train import train

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["data.image_size=16", "model.width=4", "batch_size=8", "trainer.accelerator=cpu", "metrics=none", "updates=1"]
TASKS = {"train": train, "evaluate": evaluate, "analyze": analyze}
GLOBAL = "# @package _global_\n"
CONFIGS = {
    "experiment/bare": "updates: 2\n",
    "experiment/bare_with_loss": "defaults: [override /loss: wasserstein]\nupdates: 2\n",
    "method/bare": "label: mine\n",
    "sweep/bare": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n",
    "labels/bare": "label_concat: {_target_: lit_gan.reg.labels.LabelConcat, n_classes: 10, network: g}\n",
    "experiment/misspelt": GLOBAL + "updatess: 7\n",
    "experiment/metric": GLOBAL + "metric: none\n",
    "experiment/helper": GLOBAL + "rate: 0.25\noptim: {d: {lr: '${rate}'}}\n",
    "experiment/annealed": GLOBAL
    + "defaults: [override /callbacks: [default, annealing]]\ncallbacks: {annealing: {rate: null}}\n",
    "experiment/unchosen": GLOBAL + "reg: {r1: {weight: 5}}\n",
    "sweep/misspelt": GLOBAL + "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\nupdatess: 7\n",
    "sweep/fine": GLOBAL + "hydra: {mode: MULTIRUN, sweeper: {params: {reg: 'none,r1'}}}\nreg: {r1: {weight: 5}}\n",
    "mine/group": "depth: 3\n",
    "loss/broken": "_target_: own_parts.Plain\n  x: [1,\n",
    "loss/empty": "",
    "loss/without": "weight: 1\n",
    "loss/listed": "- a\n- b\n",
    "optim/without": "n_dis: 1\n",
    "model/without": "width: 3\n",
    "metrics/without": "_target_: own_parts.Plain\n",
    "reg/unnamed": "_target_: own_parts.Nothing\nweight: 0.001\n",
    "callbacks/unnamed": "_target_: own_parts.Plain\n",
    "logger/unnamed": "_target_: own_parts.Plain\n",
    "labels/unnamed": "# @package reg\n_target_: own_parts.Nothing\n",
    "protocol/unnamed": "generated: 100\n",
    "loss/plain": "_target_: own_parts.Plain\n",
    "loss/nothing": "_target_: own_parts.Nothing\n",
    "loss/vector": "_target_: own_parts.Vector\n",
    "loss/detached": "_target_: own_parts.Detached\n",
    "loss/counted": "_target_: own_parts.Counted\n",
    "metrics/endless": "suite: {_target_: own_suites.Endless}\nduring: quick\nfinal: full\nmonitor: x\n",
    "reg/plain": "plain: {_target_: own_parts.Plain}\n",
    "reg/vector": "vector: {_target_: own_parts.VectorTerm}\n",
    "reg/silent": "silent: {_target_: own_parts.Silent}\n",
    "loss/misnamed": "_target_: own_parts.Vectr\n",
    "loss/bad_code": "_target_: own_bad_code.Plain\n",
}
PARTS = '''
from lit_gan.game import Loss, Regularizer


class Plain:
    """Of no kind."""

    def d(self, turn):
        return 0


class Nothing(Loss):
    """A loss whose author forgot to return."""

    def d(self, turn):
        turn.real.logits.mean()

    g = d


class Vector(Loss):
    """A loss without a mean."""

    def d(self, turn):
        return turn.real.logits.mean() - turn.fake.logits.mean()

    def g(self, turn):
        return -turn.fake.logits


class Detached(Vector):
    """A loss without a gradient for G."""

    def g(self, turn):
        return -turn.fake.logits.detach().mean()


class Counted(Vector):
    """A loss without a gradient for D."""

    def d(self, turn):
        return (turn.real.logits > 0).float().mean()


class VectorTerm(Regularizer):
    """A term without a mean."""

    def d(self, turn):
        return turn.real.logits.square()


class Silent(Regularizer):
    """No term as yet."""

    def d(self, turn):
        return None
'''

SUITES = """
from lit_gan.metrics import Suite


class Endless(Suite):
    SCORES = {"x": "lowest"}

    def prefix(self, source):
        return "own"

    def compute(self, draw, source, protocol, device):
        return {"x": 1.0}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A folder with classes and configs of one's own."""
    folder = tmp_path_factory.mktemp("own")
    for name, content in CONFIGS.items():
        path = folder / "cfg" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "own_parts.py").write_text(PARTS)
    (folder / "own_suites.py").write_text(SUITES)
    (folder / "own_bad_code.py").write_text("def f(:\n")
    return folder


@pytest.fixture
def command(own, monkeypatch):
    """A command line in that folder, in this process."""

    def call(name, *arguments):
        monkeypatch.chdir(own)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        launch(TASKS[name], name)

    return call


@pytest.fixture
def refusal(command, capsys):
    """The sentence with which a training with configs of one's own is refused, without any traceback."""

    def refuse(*arguments, name="train"):
        given = [word.lstrip("+").split("=")[0] for word in arguments]
        tiny = [word for word in TINY if word.split("=")[0] not in given and name == "train"]
        with pytest.raises(SystemExit) as end:
            command(name, "--config-dir", "cfg", *tiny, *arguments)
        assert "Traceback" not in capsys.readouterr().err
        assert isinstance(end.value.code, str), end.value.code
        return end.value.code.removeprefix("lit_gan: ")

    return refuse


class TestSettingsOfWhatIsNotChosen:
    @pytest.mark.parametrize("plus", ["", "+"])
    @pytest.mark.parametrize(
        ("word", "reason"),
        [
            ("reg.r1.weight=5", "r1 is not among reg=[spectral]: write reg=[spectral,r1]."),
            ("reg.acgan.d_real=2", "acgan is not among labels=none: write labels=acgan."),
            ("callbacks.spectra.x=2", "spectra is not among callbacks=default: write callbacks=[default,spectra]."),
            ("logger.wandb.offline=true", "wandb is not among logger=[]: write logger=[wandb]."),
            (
                "protocol.veegan.batch_size=5",
                "veegan is not among protocol=[quick,full,sngan_paper,modern]: write "
                "protocol=[quick,full,sngan_paper,modern,veegan].",
            ),
        ],
    )
    def test_a_typed_one_is_refused(self, refusal, plus, word, reason):
        assert refusal(plus + word) == f"{word}: {reason}"

    def test_even_where_the_file_of_a_method_has_settings_for_it(self, refusal):
        words = ["method=biggan", "reg=[r1]", "reg.orthogonal.weight=3"]
        assert (
            refusal(*words) == "reg.orthogonal.weight=3: orthogonal is not among reg=[r1]: write reg=[r1,orthogonal]."
        )

    def test_a_name_that_no_choice_has(self, refusal):
        assert refusal("+reg.r11.weight=5").startswith("reg.r11.weight=5: reg=r11 does not exist; did you mean 'r1'?")

    def test_a_choice_without_settings(self, refusal):
        assert refusal("+logger.csv.version=1") == "logger.csv.version=1: logger=csv has no settings, so leave it out."

    def test_of_an_analysis(self, refusal):
        sentence = refusal("run=nix", "analysis=spectra", "+analysis.ms_ssim.pairs=5", name="analyze")
        assert "ms_ssim is not among analysis=spectra: write analysis=[spectra,ms_ssim]." in sentence

    def test_an_own_experiment_with_settings_of_what_it_does_not_choose(self, refusal, command, tmp_path):
        sentence = refusal("experiment=unchosen")
        assert sentence.startswith("experiment=unchosen sets reg.r1, but r1 is not among reg=[spectral]: write ")
        command("train", "--config-dir", "cfg", *TINY, "experiment=unchosen", "reg=[]", f"hydra.run.dir={tmp_path}")

    @pytest.mark.parametrize(
        "words",
        [
            ["method=biggan", "reg=[r1]"],
            ["reg=[]", "+reg.mine._target_=own_parts.Silent", "+reg.mine.weight=3"],
            ["experiment=annealed", "callbacks=none"],
        ],
    )
    def test_what_the_command_line_takes_away_is_no_mistake(self, command, tmp_path, words):
        command("train", "--config-dir", "cfg", *TINY, *words, f"hydra.run.dir={tmp_path}")

    def test_a_sweep_is_refused_where_no_cell_has_it(self, refusal, tmp_path):
        words = ["--multirun", "seed=0,1", "+reg.r1.weight=5", f"hydra.sweep.dir={tmp_path / 'none'}"]
        assert "r1 is not among reg=[spectral]" in refusal(*words)
        assert not (tmp_path / "none").exists()

    def test_a_sweep_over_it_and_others_is_none(self, command, tmp_path):
        words = ["--multirun", "reg=none,r1", "++reg.r1.weight=5", "apart=false", f"hydra.sweep.dir={tmp_path}"]
        command("train", *TINY, *words)
        command("train", "--config-dir", "cfg", *TINY, "sweep=fine", "apart=false", f"hydra.sweep.dir={tmp_path / 'b'}")
        assert OmegaConf.load(tmp_path / "reg=r1" / ".hydra" / "config.yaml").reg.r1.weight == 5

    def test_an_old_run_goes_on_with_it(self, command, monkeypatch, refusal, tmp_path):
        with monkeypatch.context() as before:
            before.setattr("lit_gan.cli.launch.check_job", lambda *_: None)
            command("train", *TINY, "+reg.r1.weight=5", "+new.key=3", f"hydra.run.dir={tmp_path}")
        command("train", f"resume={tmp_path}", "updates=2")
        assert json.loads((tmp_path / "results.json").read_text())["updates"] == 2
        assert "r2 is not among" in refusal(f"resume={tmp_path}", "+reg.r2.weight=1")

    def test_an_old_sweep_goes_on_with_it(self, command, monkeypatch, tmp_path):
        words = [
            "--multirun",
            "seed=0,1",
            "+reg.r1.weight=5",
            "+new.key=3",
            "apart=false",
            f"hydra.sweep.dir={tmp_path}",
        ]
        with monkeypatch.context() as before:
            before.setattr("lit_gan.sweep.hooks.check_sweep", lambda *_: None)
            command("train", *TINY, *words)
        shutil.rmtree(tmp_path / "seed=1")
        command("train", *TINY, *words)
        assert json.loads((tmp_path / "seed=1" / "results.json").read_text())["status"] == "finished"


class TestFiles:
    @pytest.mark.parametrize(
        ("word", "package"),
        [
            ("experiment=bare", "_global_"),
            ("experiment=bare_with_loss", "_global_"),
            ("method=bare", "_global_"),
            ("sweep=bare", "_global_"),
            ("labels=bare", "reg"),
        ],
    )
    def test_without_the_line_that_says_where_they_belong(self, refusal, word, package):
        assert refusal(word) == f'{word}: its file must begin with "# @package {package}".'

    @pytest.mark.parametrize(
        ("word", "words"),
        [
            ("experiment=misspelt", ["experiment=misspelt: There is no setting 'updatess'; did you mean 'updates'?"]),
            ("experiment=metric", ["experiment=metric: There is no setting 'metric'; did you mean 'metrics'?"]),
            ("sweep=misspelt", ["sweep=misspelt: There is no setting 'updatess'"]),
            ("+new.key=3", ["There is no setting 'new'"]),
            ("+learning_rate=3", ["There is no setting 'learning_rate'; did you mean optim.d.lr or optim.g.lr?"]),
        ],
    )
    def test_with_a_key_that_nobody_reads(self, refusal, word, words):
        sentence = refusal(word)
        assert all(each in sentence for each in words), sentence

    def test_a_key_of_another_command(self, refusal):
        assert "There is no setting 'chekpoint'; did you mean 'checkpoint'?" in refusal(
            "run=nix", "+chekpoint=best", name="evaluate"
        )

    @pytest.mark.parametrize("words", [["experiment=helper"], ["+mine=group"], ["+tag=3", "label=a${tag}"]])
    def test_a_key_that_others_refer_to_or_of_a_group_of_ones_own(self, command, tmp_path, words):
        command("train", "--config-dir", "cfg", *TINY, *words, f"hydra.run.dir={tmp_path}")

    def test_that_are_no_yaml(self, refusal):
        assert refusal("loss=broken") == "cfg/loss/broken.yaml, line 2: mapping values are not allowed here."

    def test_in_another_encoding(self, refusal, own):
        path = own / "cfg" / "loss" / "windows.yaml"
        path.write_bytes("# Dänische Art\n_target_: own_parts.Mine\n".encode("cp1252"))
        try:
            assert refusal("loss=windows") == "cfg/loss/windows.yaml is no text in UTF-8: save it in that encoding."
        finally:
            path.unlink()

    @pytest.mark.parametrize(
        ("word", "lacks"),
        [
            *((f"loss={name}", '"_target_:"') for name in ("empty", "without", "listed")),
            ("optim=without", '"_target_:"'),
            ("model=without", '"G._target_:"'),
            ("metrics=without", '"suite: {_target_: ...}"'),
        ],
    )
    def test_that_name_no_class(self, refusal, word, lacks):
        assert refusal(word) == f"{word}: its file names no class, {lacks}."

    @pytest.mark.parametrize("group", ["reg", "callbacks", "logger", "labels", "protocol"])
    def test_whose_settings_lie_at_their_top(self, refusal, group):
        first = "generated" if group == "protocol" else "_target_"
        sentence = f'{group}=unnamed: write its settings below a name, "unnamed: {{{first}: ...}}".'
        assert refusal(f"{group}=unnamed") == sentence

    @pytest.mark.parametrize(
        ("word", "sentence"),
        [
            ("reg.spectral=null", "reg.spectral=null takes nothing away: write ~reg.spectral instead."),
            ("+reg.weight=3", "reg.weight=3 is of none of those in reg: write reg.NAME.weight=3."),
        ],
    )
    def test_what_is_typed_in_the_place_of_a_regularizer(self, refusal, word, sentence):
        assert refusal(word) == sentence


class TestClasses:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (
                ["loss=plain"],
                "loss._target_=own_parts.Plain makes no Loss: let its class inherit from lit_gan.game.Loss.",
            ),
            (
                ["reg=plain"],
                "reg.plain._target_=own_parts.Plain makes no Regularizer: let its class inherit from "
                "lit_gan.game.Regularizer.",
            ),
            (
                ["order._target_=own_parts.Plain"],
                "order._target_=own_parts.Plain makes no Order: let its class inherit from lit_gan.order.Order.",
            ),
            (["loss=nothing"], "own_parts.Nothing.d returns None, but it must return one number"),
            (["loss=vector"], "own_parts.Vector.g returns a tensor of shape [8], but it must return one number"),
            (["loss=detached"], "own_parts.Detached.g returns a number without a gradient, so that it moves nothing"),
            (["loss=counted"], "own_parts.Counted.d returns a number without a gradient, so that it moves nothing"),
            (["loss=counted", "reg=r1"], "own_parts.Counted.d returns a number without a gradient"),
            (["reg=vector"], "own_parts.VectorTerm.d returns a tensor of shape [8], but it must return one number"),
            (
                ["loss=misnamed"],
                "loss._target_=own_parts.Vectr cannot be imported: own_parts.py has no Vectr; it has Vector",
            ),
            (
                ["loss=bad_code"],
                "loss._target_=own_bad_code.Plain cannot be imported: invalid syntax; mend own_bad_code.py, line 1.",
            ),
            (
                ["callbacks.samples._target_=lit_gan.callbacks.SampleGrit"],
                "lit_gan.callbacks has no SampleGrit; it has SampleGrid",
            ),
        ],
    )
    def test_that_are_none_of_a_game(self, refusal, words, sentence):
        assert sentence in refusal(*words)

    @pytest.mark.parametrize("name", ["train", "evaluate"])
    def test_a_suite_that_does_not_say_which_end_is_good(self, command, refusal, tmp_path, name):
        if name == "evaluate":
            command("train", "--config-dir", "cfg", *TINY, f"hydra.run.dir={tmp_path}")
        words = [f"run={tmp_path}", "protocols=quick"] if name == "evaluate" else []
        sentence = refusal("metrics=endless", *words, name=name)
        assert sentence.startswith("own_suites.Endless.SCORES is {'x': 'lowest'}, but it must give the good end of")

    def test_a_regularizer_may_add_nothing(self, command, tmp_path):
        command("train", "--config-dir", "cfg", *TINY, "reg=silent", f"hydra.run.dir={tmp_path}")


class TestNamesakes:
    """Files of one's own with the name of a choice of the package, which Hydra would not read."""

    @pytest.fixture
    def namesakes(self, tmp_path):
        shipped = Path(lit_gan.conf.__file__).parent
        for group, name in [("loss", "hinge"), ("reg", "r1"), ("order", "alternating")]:
            (tmp_path / group).mkdir()
            (tmp_path / group / f"{name}.yaml").write_text((shipped / group / f"{name}.yaml").read_text())
        return tmp_path

    @pytest.mark.parametrize(
        ("file", "words", "choice"),
        [
            ("loss/hinge", [], "loss=hinge"),
            ("loss/hinge", ["--multirun", "loss=wasserstein,hinge"], "loss=hinge"),
            ("reg/r1", ["reg=[spectral,r1]"], "reg=r1"),
        ],
    )
    def test_that_differ_are_refused(self, refusal, namesakes, file, words, choice):
        path = namesakes / f"{file}.yaml"
        path.write_text(path.read_text() + "\n")
        words = [f"hydra.searchpath=[file://{namesakes},pkg://lit_gan.sweeps]", *words]
        assert (
            refusal(*words) == f"{choice} is a choice of lit_gan's own, whose name {path} cannot have: give "
            "that file another name, and choose it by that."
        )

    def test_that_hold_something_else_are_refused(self, refusal, namesakes):
        path = namesakes / "reg" / "r1.yaml"
        path.write_text("silent: {_target_: own_parts.Silent}\n")
        words = [f"hydra.searchpath=[file://{namesakes},pkg://lit_gan.sweeps]", "reg=[spectral,r1]"]
        assert refusal(*words).startswith(f"reg=r1 is a choice of lit_gan's own, whose name {path} cannot have: ")

    def test_a_sweep_of_that_name_is_refused(self, refusal, tmp_path):
        (tmp_path / "sweep").mkdir()
        path = tmp_path / "sweep" / "losses.yaml"
        path.write_text(GLOBAL + "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n")
        words = [f"hydra.searchpath=[file://{tmp_path},pkg://lit_gan.sweeps]", "sweep=losses"]
        assert refusal(*words).startswith(f"sweep=losses is a choice of lit_gan's own, whose name {path} cannot have: ")

    def test_the_config_of_a_command_is_refused(self, refusal, tmp_path):
        (tmp_path / "train.yaml").write_text("updates: 3\n")
        assert refusal(f"hydra.searchpath=[file://{tmp_path},pkg://lit_gan.sweeps]").startswith(
            f"{tmp_path / 'train.yaml'} is not read, as train.yaml is lit_gan's own: put its settings into a file of "
        )

    def test_a_run_whose_configs_have_moved_says_where_they_were(self, tmp_path, monkeypatch):
        (tmp_path / ".hydra").mkdir()
        (tmp_path / ".hydra" / "search_path.yaml").write_text("{configs: ['file:///gone/mine'], modules: []}")
        monkeypatch.setattr(sys, "argv", ["train", f"resume={tmp_path}"])
        assert unknown_choice("loss/margin").endswith(
            " The run was made with configs in /gone/mine, where none are now: add --config-dir FOLDER."
        )

    def test_that_are_equal_or_not_chosen_are_none_of_a_mistake(self, command, namesakes, tmp_path):
        (namesakes / "reg" / "r1.yaml").write_text("r1: {_target_: own_parts.Silent}\n")
        command("train", "--config-dir", namesakes, *TINY, f"hydra.run.dir={tmp_path / 'run'}")

    def test_an_old_run_goes_on_with_them(self, command, namesakes, tmp_path):
        run = tmp_path / "run"
        command("train", "--config-dir", namesakes, *TINY, f"hydra.run.dir={run}")
        (namesakes / "loss" / "hinge.yaml").write_text("_target_: own_parts.Nothing\n")
        command("train", f"resume={run}", "updates=2")
        assert json.loads((run / "results.json").read_text())["updates"] == 2


class TestDoubles:
    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["reg=[spectral,spectral]"], "reg=[spectral,spectral] names spectral twice: leave one out."),
            (["--multirun", "reg=[r1,r2],[r1,r1]"], "reg=[r1,r1] names r1 twice: leave one out."),
        ],
    )
    def test_in_a_list_are_refused(self, refusal, words, sentence):
        assert refusal(*words) == sentence

    def test_of_single_values_the_last_counts(self, command, tmp_path):
        command("train", *TINY, "seed=1", "seed=2", "optim.d.betas=[0.5,0.5]", f"hydra.run.dir={tmp_path}")
        assert OmegaConf.load(tmp_path / ".hydra" / "config.yaml").seed == 2

    def test_of_an_axis_the_last_counts_and_there_is_one(self):
        assert complete_arguments(["--multirun", "seed=0,1", "seed=2,3"], "train")[-1] == "axes=[seed]"
