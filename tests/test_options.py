"""What `python -m lit_gan.options` and docs/methods.md say of the choices, and that they say something of each."""

import subprocess
import sys
from pathlib import Path

import pytest

from lit_gan import __main__, options
from lit_gan.catalogue.arguments import Arguments, arguments_section, in_words
from lit_gan.catalogue.choice import Choice
from lit_gan.catalogue.configs import package_folders
from lit_gan.catalogue.contents import stands_for
from lit_gan.catalogue.groups import GROUPS, choices_of, find_choice
from lit_gan.catalogue.markdown import escaped, methods_page
from lit_gan.catalogue.settings import compose

ROOT = Path(__file__).parent.parent
EXPLAINED = ("reg", "loss", "order", "optim", "labels", "model", "data", "metrics")
ALL = [choice for group in GROUPS for choice in choices_of(group)]
OWN = """\
# @package _global_
# Does nothing at all. Nobody et al. 2030, Eq. 1. It is a joke.
defaults: [_part, other, override /loss: hinge]

# not about anything
first: 1  # a number of things
nested:
  # above it,
  # on two lines
  second: [a, b]
  third: {fourth: null}
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """What the command prints."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["options", *arguments])
        options.main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of configs with a regularizer of one's own, whose class lies beside it."""
    (tmp_path / "mine" / "reg").mkdir(parents=True)
    (tmp_path / "drift.py").write_text(
        "from lit_gan import Regularizer\n\n\n"
        "class Drift(Regularizer):\n"
        '    """E D(x)^2. Karras et al. 2018.\n\n    Args:\n        weight: epsilon.\n    """\n\n'
        "    def __init__(self, weight: float = 0.001):\n"
        "        super().__init__(weight)\n"
    )
    (tmp_path / "mine" / "reg" / "drift.yaml").write_text(
        "# Keeps the output of D near 0. Karras et al. 2018.\ndrift: {_target_: drift.Drift, weight: 0.001}\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "mine"


class TestCoverage:
    def test_every_group_is_described(self):
        assert set(GROUPS) == {path.parent.name for folder in package_folders() for path in folder.glob("*/*.yaml")}

    @pytest.mark.parametrize("choice", ALL, ids=str)
    def test_every_choice_has_a_meaning(self, choice):
        assert len(choice.meaning) > 10
        assert choice.meaning[-1] in ".?"

    @pytest.mark.parametrize("choice", [choice for choice in ALL if choice.group in EXPLAINED], ids=str)
    def test_every_setting_has_a_meaning(self, choice):
        assert not [setting.name for setting in compose(choice).settings if not setting.meaning]

    def test_the_page_is_current(self):
        assert (ROOT / "docs" / "methods.md").read_text(encoding="utf-8") == methods_page(), "run `make docs`"


class TestFile:
    choice = Choice("reg", "own", OWN)

    def test_the_first_sentence_is_the_meaning_and_the_rest_the_source(self):
        assert self.choice.meaning == "Does nothing at all."
        assert self.choice.source == "Nobody et al. 2030, Eq. 1. It is a joke."

    def test_the_package_is_where_the_settings_go(self):
        assert self.choice.package == ""
        assert Choice("reg", "own", "a: 1").package == "reg"
        assert Choice("labels", "own", "# @package reg\na: 1").package == "reg"

    def test_comments_beside_and_above_a_setting(self):
        assert self.choice.comments == {"first": "a number of things", "nested.second": "above it, on two lines"}

    def test_what_it_stands_for(self):
        assert stands_for(self.choice).endswith("loss=hinge first=1 nested.second=[a,b] nested.third.fourth=null")

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"a: [1\nb: 2\n", r"^reg=bad: line 2 of its file: expected ',' or ']', but got ':'\.$"),
            (b"- a\n- b\n", r"^reg=bad: its file holds no settings: write each as NAME: VALUE\.$"),
            ("# Dänisch\na: 1\n".encode("cp1252"), r"^.*bad\.yaml is no text in UTF-8: save it in that encoding\.$"),
        ],
    )
    def test_one_that_cannot_be_read_is_refused(self, own, run, content, sentence):
        (own / "reg" / "bad.yaml").write_bytes(content)
        with pytest.raises(SystemExit, match=sentence.replace("^", "^lit_gan: ")):
            run("reg=bad", "--config-dir", str(own))


class TestSettings:
    @pytest.mark.parametrize(
        ("group", "choice", "name", "range"),
        [
            ("optim", "adam", "optim.d.lr", "a number, 0 or more"),
            ("trainer", "default", "trainer.log_every_n_steps", "a whole number, 1 or more"),
        ],
    )
    def test_the_range_is_the_one_that_a_training_checks(self, group, choice, name, range):
        settings = compose(find_choice(group, choice)).settings
        (found,) = [setting for setting in settings if setting.name == name]
        assert found.range == range

    def test_of_a_regularizer(self):
        weight, one_sided, every = compose(find_choice("reg", "gradient_penalty")).settings
        assert weight.name == "reg.gradient_penalty.weight"
        assert weight.default == "10.0"
        assert weight.meaning.startswith("lambda, 10 in the paper")
        assert weight.range.startswith("a number")
        assert one_sided.range == "true or false"
        assert every.meaning.startswith("the terms are added in every so many generator updates")  # of a base class

    def test_of_an_object_in_another(self):
        found = {setting.name: setting for setting in compose(find_choice("reg", "consistency")).settings}
        assert found["reg.consistency.T"].default == "lit_gan.reg.inputs.FlipAndShift"
        assert found["reg.consistency.T.pixels"].default == "4"

    def test_what_is_as_in_the_base_is_left_out(self):
        found = compose(find_choice("optim", "ttur"))
        assert found.base == "adam"
        assert {setting.name for setting in found.settings} >= {"optim.d.lr", "optim.g.betas"}
        assert "optim.d.fused" not in {setting.name for setting in found.settings}

    def test_of_a_file_that_also_chooses_for_other_groups(self):
        assert "data.centers.radius" in {setting.name for setting in compose(find_choice("data", "gaussians")).settings}

    def test_an_argument_of_a_parent_class(self):
        assert Arguments(find_class("loss", "hinge")).meaning("g_weight", "").startswith("multiplies G's objective")

    def test_the_arguments_of_a_docstring(self):
        text = "Does.\n\nArgs:\n    a: one\n        line.\n    b, c: both.\n\nRaises:\n    Error: never."
        assert dict(arguments_section(text)) == {"a": "one line.", "b": "both.", "c": "both."}

    @pytest.mark.parametrize(
        ("annotation", "words"),
        [(int, "a whole number"), (float | None, "a number or null"), (list[int], "a list"), (object, "")],
    )
    def test_a_type_in_words(self, annotation, words):
        assert in_words(annotation) == words


def find_class(group, name):
    return compose(find_choice(group, name)).classes[0]


class TestCommand:
    def test_lists_every_choice_with_a_line(self, run):
        text = run()
        assert all(f"\n{group}: {meaning}" in f"\n{text}" for group, meaning in GROUPS.items())
        assert "\n  lecam " in text
        assert len(text.splitlines()) == len(ALL) + 2 * len(GROUPS) + 1

    def test_lists_a_group(self, run):
        assert len(run("order").splitlines()) == 5

    def test_says_everything_about_a_choice(self, run):
        text = run("reg=gradient_penalty")
        assert find_choice("reg", "gradient_penalty").meaning.split()[0] in text
        assert "Gulrajani et al. 2017, Eq. 3" in text
        assert "reg.gradient_penalty.weight=10.0" in text
        assert "python -m lit_gan.train reg=gradient_penalty reg.gradient_penalty.weight=10.0" in text
        assert "lit_gan.reg.gradients.GradientPenalty" in text

    def test_says_it_of_several(self, run):
        text = run("reg=[r1,r2]")
        assert "reg.r1.weight" in text
        assert "reg.r2.weight" in text

    def test_says_what_an_experiment_stands_for(self, run):
        assert "loss=relativistic reg=[r1,r2]" in run("experiment=r3gan_digits")

    def test_finds_choices_of_ones_own(self, run, own):
        assert "\n  drift " in run("reg", "--config-dir", str(own))
        text = run("reg=drift", "--config-dir", str(own))
        assert f"Example: python -m lit_gan.train --config-dir {own} reg=drift reg.drift.weight=0.001\n" in text
        assert "drift.Drift" in text
        assert "epsilon" in text

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["regs"], r"There is no group 'regs'; did you mean 'reg'\? There are: model, "),
            (["lecam"], "There is no group 'lecam', but there is the choice reg=lecam"),
            (["reg=lecma"], r"reg=lecma does not exist; did you mean 'lecam'\?"),
            (["reg=lecam", "--config-dir", "nowhere"], "--config-dir nowhere is no folder"),
        ],
    )
    def test_answers_a_wrong_word_in_a_sentence(self, run, arguments, sentence):
        with pytest.raises(SystemExit, match=sentence):
            run(*arguments)

    def test_the_list_comes_without_torch(self):
        code = "import sys; from lit_gan.tasks.options import options; options()"
        code += "; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0

    def test_the_page_is_written_by_the_command(self, run):
        assert run("--markdown").startswith("# ")


def test_markdown_is_escaped_outside_of_code():
    assert escaped("|x|_2 of `a_b|c` [d]") == r"\|x\|\_2 of `a_b\|c` \[d\]"


def test_the_package_lists_its_commands(capsys):
    __main__.main()
    text = capsys.readouterr().out
    for name in ("train", "sample", "evaluate", "analyze", "export", "explore", "status", "report", "options"):
        assert f"python -m lit_gan.{name} " in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("seed", ["train", "seed=0", "a whole number, at least 0", "of the weights"]),
        ("optim.decay_start", ["train", "optim.decay_start=null"]),
        ("optim.d.lr", ["optim=adam, optim=ttur", "optim.d.lr=0.0004", "learning rate"]),
        ("reg.lecam.weight", ["reg=lecam", "reg.lecam.weight=0.3"]),
        ("model.width", ["model=dcgan", "model.width=32"]),
    ],
)
def test_a_setting_is_shown_by_its_name(run, name, words):
    out = run(name)
    assert all(word in out for word in words), out


def test_a_setting_of_one_s_own_is_shown_by_its_name(run, own):
    assert "reg.drift.weight=0.001" in run("reg.drift.weight", "--config-dir", str(own))


def test_what_is_neither_a_group_nor_a_setting(run):
    with pytest.raises(SystemExit, match=r"There is no group 'optim\.d\.foo'"):
        run("optim.d.foo")
