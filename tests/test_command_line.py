"""What a command line may look like: flags anywhere, choices of groups, paths of a home directory, a group replaced."""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import hydra
import pytest
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lit_gan.catalogue.configs import choices, compose_choices, default_choices
from lit_gan.catalogue.suggestions import suggest_setting
from lit_gan.cli.arguments import complete_arguments
from lit_gan.cli.choices import check_choices
from lit_gan.cli.flags import read_flags, split_flags
from lit_gan.cli.mistakes import explain, unknown_setting, unreadable
from lit_gan.cli.resume import command_of_resume, still_applicable
from lit_gan.errors import UserError
from lit_gan.overrides import as_override_value, parse_override, quote_typed

FLAGS = [
    *(["-m"], ["--multirun"], ["-r"], ["-cd", "{folder}"], ["--config-dir={folder}"], ["--config-dir", "{folder}"]),
    *(["-cn", "train"], ["--config-name=train"], ["-c", "job"], ["--cfg=job"], ["--cfg", "all"], ["-p", "optim"]),
    *(
        ["--package=optim"],
        ["--cfg=all", "--resolve"],
        ["--info"],
        ["-i"],
        ["--info", "searchpath"],
        ["-i", "plugins"],
        ["-h"],
    ),
    *(["--help"], ["--hydra-help"], ["-c", "job", "-p", "optim", "--resolve"], ["-m", "-cd", "{folder}"]),
]
GROUPS = sorted(default_choices("train"))
NEEDED = ["model", "loss", "optim", "order", "data", "trainer"]
NONSENSE = ["5", "3.5", "true", "{a:1}", "[null]", "[5]", "[{a:1}]", "", '""', "1e-3", "[[a]]", "null,5"]


class TestFlags:
    @pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_stand_anywhere(self, tmp_path, flags, place):
        flags, settings = [flag.format(folder=tmp_path) for flag in flags], ["seed=0,1", "updates=2"]
        line = complete_arguments([*settings[:place], *flags, *settings[place:]], "train")
        read, first = (get_args_parser().parse_args(arguments) for arguments in (line, [*flags, "--cfg=job"]))
        assert read.overrides[:2] == settings
        names = set(vars(read)) - {"overrides", "cfg"}
        assert {name: getattr(read, name) for name in names} == {name: getattr(first, name) for name in names}

    def test_a_value_of_a_flag_is_no_setting(self):
        assert split_flags(["seed=1", "-cn", "train", "updates=2"]) == (["-cn", "train"], ["seed=1", "updates=2"])
        assert split_flags(["-i", "seed=1"]) == (["-i=all"], ["seed=1"])
        assert read_flags(["seed=0,1", "-m"]).multirun

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("--multirun seed=0,1 --cfg hydra", "--multirun and --cfg do not go together"),
            ("-r seed=0 -m", "--run and --multirun do not go together"),
            ("-i -c job -r", "--run and --cfg and --info do not go together"),
            ("-m -sc install=bash", "--multirun and --shell-completion do not go together"),
            ("--resolve seed=0", "--resolve applies to --cfg and --help"),
            ("-sc seed=0", "--shell-completion needs to be told"),
            ("--experimental-rerun /nowhere", "--experimental-rerun=/nowhere is no file"),
        ],
    )
    def test_those_that_hydra_cannot_follow_are_refused(self, line, words):
        for name in ("train", "sample"):
            with pytest.raises(UserError, match=rf"^{words}"):
                complete_arguments(line.split(), name)

    @pytest.mark.parametrize(
        "line", ["--help --multirun --cfg job", "--help --resolve", "--hydra-help -m -r", "-sc query=bash"]
    )
    def test_those_that_it_follows_are_not(self, line):
        assert complete_arguments(line.split(), "sample")

    def test_the_flag_last_still_makes_axes(self):
        assert complete_arguments(["seed=0,1", "-m"], "train")[-1] == "axes=[seed]"

    def test_only_a_training_has_axes(self):
        assert complete_arguments(["--multirun", "run=A,B"], "evaluate") == ["--multirun", "run=A,B"]


class TestGroups:
    @pytest.mark.parametrize("value", NONSENSE)
    @pytest.mark.parametrize("group", GROUPS)
    def test_nonsense_is_refused_in_a_sentence(self, group, value):
        with pytest.raises(UserError, match=rf"^{group}=.*There are: "):
            check_choices([f"{group}={value}"], "train", [])

    @pytest.mark.parametrize("group", NEEDED)
    def test_null_of_what_is_needed_is_refused(self, group):
        with pytest.raises(UserError, match=f"{group}=null: one has to be chosen. There are: "):
            check_choices([f"{group}=null"], "train", [])

    @pytest.mark.parametrize("group", sorted(set(GROUPS) - set(NEEDED)))
    def test_null_of_any_other_is_nothing(self, group):
        with hydra.initialize_config_module("lit_gan.conf", version_base="1.3"):
            config = hydra.compose("train", check_choices([f"{group}=null"], "train", []))
        assert not config.get(group) or config[group].suite is None

    @pytest.mark.parametrize("group", ["model", "loss", "optim", "order", "metrics", "data"])
    def test_one_of_a_kind(self, group):
        first, second, *_ = choices(group)
        assert check_choices([f"{group}=[{first}]"], "train", []) == [f"{group}=[{first}]"]
        for names in (f"[{first},{second}]", "[]"):
            with pytest.raises(UserError, match=f"^{group}=.*must be one name"):
                check_choices([f"{group}={names}"], "train", [])

    def test_what_is_right_is_left_alone(self):
        settings = [
            "reg=[]",
            "+reg=r1",
            "loss=hinge,wasserstein",
            "loss=glob(h*)",
            "~sweep",
            "seed=null",
            "labels=none",
        ]
        assert check_choices(settings, "train", []) == settings

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("./photos", "data=image_folder data.root=./photos"),
            ("/a/b", "data=image_folder data.root=/a/b"),
            ("here", "data=image_folder data.root=here"),
            ("./poems.txt", "data=text data.file=./poems.txt"),
            ("./photos.ZIP", "data=image_zip data.file=./photos.ZIP"),
            ("/a/b.npz", "data=arrays data.file=/a/b.npz"),
        ],
    )
    def test_a_path_is_no_kind_of_data(self, tmp_path, monkeypatch, value, words):
        monkeypatch.chdir(tmp_path)
        Path("here").mkdir()
        with pytest.raises(UserError, match=words):
            check_choices([f"data={value}"], "train", [])


class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("lr", "optim.d.lr or optim.g.lr?"),
            ("optim.lr", "optim.d.lr or optim.g.lr?"),
            ("learning_rate", "optim.d.lr or optim.g.lr?"),
            ("batchsize", "did you mean batch_size?"),
            ("batch-size", "did you mean batch_size?"),
            ("n_dis", "optim.n_dis?"),
            ("betas", "optim.d.betas or optim.g.betas?"),
            ("width", "model.width?"),
            ("epochs", "did you mean updates?"),
            ("modle", "did you mean 'model'?"),
        ],
    )
    def test_a_setting_is_found_wherever_it_is(self, name, meant):
        assert meant in suggest_setting(name, compose_choices("train", []))

    @pytest.mark.parametrize(
        ("name", "owner"),
        [
            ("optim.d.weight_decay", "torch.optim.Adam"),
            ("trainer.max_time", "lightning.pytorch.Trainer"),
            ("callbacks.samples.columns", None),
            ("optim.d.weight_decy", None),
            ("optim.weight_decay", None),
        ],
    )
    def test_an_argument_that_the_config_leaves_out_can_be_added(self, name, owner):
        added = f"There is no setting '{name}' in the config, but {owner} takes it: write +{name}=VALUE."
        sentence = f"There is no setting '{name}'{suggest_setting(name, compose_choices('train', []))}"
        assert (sentence == added) == bool(owner)

    def test_an_argument_of_the_class_comes_before_a_setting_of_its_name_elsewhere(self):
        config = OmegaConf.create({"bias": 3, "part": {"_target_": "torch.nn.Linear"}})
        assert suggest_setting("part.bias", config).endswith("torch.nn.Linear takes it: write +part.bias=VALUE.")

    def test_how_an_object_is_made_is_no_setting_that_was_meant(self):
        assert "_target_" not in suggest_setting("target", compose_choices("train", []))

    def test_what_others_call_a_length_is_not_added(self):
        assert "did you mean updates?" in suggest_setting("trainer.max_epochs", compose_choices("train", []))

    @pytest.mark.parametrize(
        ("command", "word", "others"),
        [
            ("train", "analysis=cas", "python -m lit_gan.analyze"),
            ("train", "protocols=full", "python -m lit_gan.evaluate and python -m lit_gan.score"),
            ("train", "n=100", "python -m lit_gan.explore and python -m lit_gan.sample"),
            ("sample", "updates=3", "python -m lit_gan.classify and python -m lit_gan.train"),
        ],
    )
    def test_a_setting_of_another_command_is_said_to_be_one(self, command, word, others, monkeypatch):
        monkeypatch.setattr(sys, "argv", [command, word])
        name = word.partition("=")[0]
        sentence = unknown_setting(f"Could not override '{name}'.", command)
        assert sentence == f"There is no setting '{name}' of this command; it is one of {others}."

    @pytest.mark.parametrize("word", ["steps=100", "seeds=3"])
    def test_what_was_meant_comes_before_other_commands(self, word, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["train", word])
        assert "did you mean" in unknown_setting(f"Could not override '{word.partition('=')[0]}'.", "train")

    @pytest.mark.parametrize(("command", "setting"), [("sample", "run"), ("train", "resume"), ("pack", "data.root")])
    def test_a_directory_alone_is_shown_with_its_name(self, command, setting, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("DIR").mkdir()
        sentence = f"DIR is no setting: write {setting}=DIR, and --help shows examples."
        assert unreadable("DIR", command) == sentence

    @pytest.mark.parametrize("word", ["run=DIR", "sweep=DIR"])
    @pytest.mark.parametrize("command", ["status", "report", "dashboard"])
    def test_a_directory_with_a_name_is_shown_alone(self, command, word, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [command, word])
        with pytest.raises(SystemExit, match=rf"^lit_gan: {word} is no directory: .* without a name, DIR\.$"):
            import_module(f"lit_gan.{command}").main()

    def test_the_keys_are_those_of_what_was_chosen(self):
        config = compose_choices("train", ["data=image_folder", "nonsense=1", "reg=[r1]"])
        assert "on_broken" in suggest_setting("data.foo", config)
        assert "on_broken" not in suggest_setting("data.foo", compose_choices("train", []))
        assert list(config.reg) == ["r1"]


class TestHome:
    @pytest.mark.parametrize("name", ["resume", "run", "output", "hydra.run.dir", "hydra.sweep.dir"])
    def test_of_nobody(self, name):
        for value in ("~nobody-here/x", '"~nobody-here/x"'):
            with pytest.raises(UserError, match=rf"^{name}=~nobody-here/x: there is no home directory ~nobody-here"):
                complete_arguments([f"{name}={value}"], "evaluate")

    def test_of_the_user(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path / "a b"))
        assert complete_arguments(["output=~/x"], "sample") == [
            f"output={as_override_value(str(tmp_path / 'a b' / 'x'))}"
        ]


class TestQuotes:
    @pytest.mark.parametrize(
        ("word", "value"),
        [
            ("run=runs/seed=0", "runs/seed=0"),
            ("run=runs/Größe", "runs/Größe"),
            ("output=~/x", "~/x"),
            ("resume=a b,c", "a b,c"),
            ("resume='a b'", "a b"),
            ("resume=it's", "it's"),
        ],
    )
    def test_a_path_needs_none(self, word, value):
        assert parse_override(quote_typed(word)).value() == value

    @pytest.mark.parametrize(
        "word", ["seed=0", "reg=[a,b]", "seed=0,1", "~sweep", "label=", "resume=null", "x=a b é", "foo"]
    )
    def test_what_is_no_such_path_stays(self, word):
        assert quote_typed(word) == word


class TestResume:
    """A run made with logger=wandb, logger.wandb.offline=true and metrics.weights=/x."""

    OLD = ("logger=wandb", "logger.wandb.offline=true", "+logger.wandb.notes=x", "metrics=inception", "seed=1")
    OLD += ("metrics.weights=/x", "callbacks.samples.count=4", "trainer.devices=2")

    @pytest.mark.parametrize(
        ("new", "gone"),
        [
            ([], ()),
            (["logger=[]"], ("logger.wandb.offline=true", "+logger.wandb.notes=x")),
            (["logger=tensorboard"], ("logger.wandb.offline=true", "+logger.wandb.notes=x")),
            (["logger=[wandb,tensorboard]"], ()),
            (["metrics=inception"], ()),
            (["metrics=none"], ("metrics.weights=/x",)),
            (["callbacks=none"], ("callbacks.samples.count=4",)),
            (["callbacks=[default,spectra]"], ()),
            (["trainer=cpu"], ("trainer.devices=2",)),
            (["updates=9"], ()),
        ],
    )
    def test_what_a_new_choice_takes_away_goes(self, new, gone):
        replaced = {each.split("=")[0] for each in new}
        old = [override for override in self.OLD if override.split("=")[0] not in replaced]
        assert set(old) - set(still_applicable(old, new, {"metrics": "inception", "trainer": "ddp"})) == set(gone)

    @pytest.mark.parametrize(("new", "gone"), [("logger=[]", "logger.wandb."), ("metrics=inception", "nothing")])
    def test_the_command_is_made_of_what_stays(self, tmp_path, new, gone):
        (tmp_path / ".hydra").mkdir()
        recorded = {"overrides": list(self.OLD), "hydra": {"hydra": {"runtime": {"choices": {"metrics": "inception"}}}}}
        for name, content in recorded.items():
            OmegaConf.save(OmegaConf.create(content), tmp_path / ".hydra" / f"{name}.yaml")
        line = command_of_resume([new, f"resume={tmp_path}"])
        kept = [each for each in self.OLD if gone not in each and each.split("=")[0] != new.split("=")[0]]
        assert line == [*kept, new, f"resume={tmp_path}", f"hydra.run.dir={tmp_path}", "hydra.mode=RUN"]


@pytest.mark.parametrize("flag", ["--help", "--cfg=job"])
def test_an_answer_may_be_cut_off(flag):
    command = f"{shutil.which('bash')} -c 'set -o pipefail; {sys.executable} -m lit_gan.train {flag} | head -1'"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert len(answer.stdout.splitlines()) == 1
    assert answer.stderr == ""


class TestPlaces:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (
                "--multirun seed=0,1 hydra.run.dir=here",
                "hydra.run.dir=here is the directory of a single run, .* a sweep",
            ),
            ("sweep=sngan_fig4 hydra.run.dir=here", "write hydra.sweep.dir=DIR"),
            (
                "seed=1 hydra.sweep.dir=here",
                "hydra.sweep.dir=here is the directory of a sweep, .* write hydra.run.dir=DIR",
            ),
        ],
    )
    def test_of_a_sweep_and_of_a_run_are_not_exchanged(self, line, words):
        with pytest.raises(UserError, match=words):
            complete_arguments(line.split(), "train")

    @pytest.mark.parametrize("line", ["-m seed=0,1 hydra.sweep.dir=here", "hydra.run.dir=here", "sweep=sngan_fig4"])
    def test_of_its_own_kind_are_taken(self, line):
        assert set(line.split()) <= {*complete_arguments(line.split(), "train")}

    def test_a_cell_is_resumed_where_it_lies(self, tmp_path):
        (tmp_path / ".hydra").mkdir()
        OmegaConf.save(OmegaConf.create(["sweep=sngan_fig4", "seed=0"]), tmp_path / ".hydra" / "overrides.yaml")
        assert f"hydra.run.dir={tmp_path}" in complete_arguments([f"resume={tmp_path}"], "train")


@pytest.mark.parametrize("name", ["label", "no_such_setting"])
def test_what_holds_nothing_is_not_removed(compose, name):
    with pytest.raises(HydraException) as caught:
        compose(f"~{name}")
    assert explain(caught.value.with_traceback(None), "train") == (
        f"~{name} removes nothing: {name} is null already, or no setting at all; leave it out."
    )
