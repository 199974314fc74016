"""Files are replaced whole, whatever goes wrong in the middle."""

import json
import re
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, ListConfig
from PIL import Image

import lit_gan
from lit_gan.analysis.base import Finding
from lit_gan.callbacks import AtomicCheckpointIO
from lit_gan.figures.pictures import Page, Picture
from lit_gan.metrics.cache import cached
from lit_gan.records.files import (
    LEFTOVERS,
    Damaged,
    Unreadable,
    Unwritable,
    read_json,
    read_yaml,
    remove_leftovers,
    replacing,
    write_contents,
    write_text,
    write_texts,
)
from lit_gan.records.metrics_csv import MetricsCsv
from lit_gan.records.results import Results
from lit_gan.sweep.cells import NothingThere, cell_names
from lit_gan.sweep.plan import add_to_plan

LONG = "x" * 10_000


def test_a_run_in_a_folder_that_cannot_be_listed_does_not_vanish_from_a_sweep(tmp_path, locked):
    for name in ("a", "b/c"):
        write_text(tmp_path / name / "results.json", "{}")
    (tmp_path / "file").touch()
    assert cell_names(tmp_path) == ["a", "b/c"]
    for nothing in ("file", "none"):
        with pytest.raises(NothingThere):
            cell_names(tmp_path / nothing)
    locked(tmp_path / "b")
    with pytest.raises(Unreadable, match=rf"^{tmp_path / 'b'} cannot be read \(Permission denied\): "):
        cell_names(tmp_path)


@contextmanager
def full_disk(size: int = 1024):
    """Every file ends at so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def results(folder: Path) -> None:
    written = Results(folder)
    written.content = {"overrides": LONG}
    written.save()


def metrics(folder: Path) -> None:
    MetricsCsv(folder).log_metrics({LONG: 1.0}, 1)


def picture(folder: Path) -> None:
    Picture(torch.randint(256, (64, 64, 3), dtype=torch.uint8)).save(folder / "picture")


def finding(folder: Path) -> None:
    Finding("", [{"value": LONG}], Figure()).save(folder / "finding")


WRITERS = {
    "results": results,
    "metrics": metrics,
    "files": lambda folder: write_contents({folder / "config.json": b"", folder / "model.onnx": LONG.encode()}),
    "texts": lambda folder: write_texts({folder / "config.yaml": "", folder / "hydra.yaml": LONG}),
    "plan": lambda folder: add_to_plan(folder, "fig1", [], {LONG: 1}),
    "checkpoint": lambda folder: AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(9999)}, folder / "last.ckpt"),
    "picture": picture,
    "text": lambda folder: Page([LONG]).save(folder / "page"),
    "finding": finding,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_named_in_one_sentence_and_leaves_nothing_new(tmp_path, write):
    with full_disk(), pytest.raises(Unwritable, match=rf"{tmp_path}/\w+\.\w+ cannot be written \(File too large\)"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != "sweep.lock"] == []
    write(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.stat().st_size > 1024]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_the_old_file_stays_if_the_new_one_is_not_whole(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("new")
            raise error

    with pytest.raises((Unwritable, KeyboardInterrupt, ValueError)):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_seen_whole_or_not_at_all(tmp_path):
    with replacing(tmp_path / "folder" / "file") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "folder" / "file").exists()
    assert (tmp_path / "folder" / "file").read_text() == "half"


def test_what_a_kill_has_left_is_removed(tmp_path):
    (tmp_path / ".last.ckpt.123.part").touch()
    write_text(tmp_path / "results.json", "{}")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_row_that_a_full_disk_cuts_off_is_dropped_by_a_resume(tmp_path):
    table = MetricsCsv(tmp_path)
    table.log_metrics({"loss": 1.0}, 1)
    with full_disk(table.path.stat().st_size + 3), pytest.raises(Unwritable, match=r"metrics\.csv cannot be written"):
        table.log_metrics({"loss": 123456.789}, 2)
    table = MetricsCsv(tmp_path)
    table.resume(2)
    assert [row["update"] for row in table.rows] == ["1"]


def test_the_cache_does_without_a_full_disk(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LIT_GAN_CACHE", str(tmp_path))
    with full_disk():
        value = cached({"a": 1}, lambda: {"x": torch.zeros(9999)}, lambda value: True)
    assert len(value["x"]) == 9999
    assert "was not cached" in caplog.text
    assert not list(tmp_path.glob("*.pt")) + list(tmp_path.glob(LEFTOVERS))


WRITE = re.compile(r"""(\w+)\.(?:open\(["'][wa]|write_text\(|write_bytes\()|(os)\.replace\(""")


def test_no_file_is_written_in_another_way():
    """What is opened to be written is a temporary file of `replacing`, or metrics.csv, which grows."""
    found = {
        (path.name, match[1] or match[2])
        for path in Path(lit_gan.__file__).parent.rglob("*.py")
        for match in WRITE.finditer(path.read_text())
        if (match[1] or match[2]) not in ("temporary", "table")
    }
    assert found == {("files.py", "os"), ("metrics_csv.py", "path")}


def test_pictures_are_png_whatever_the_temporary_name(tmp_path):
    picture(tmp_path)
    assert np.asarray(Image.open(tmp_path / "picture.png")).shape == (64, 64, 3)
    results(tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == {"overrides": LONG}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": 1', r"Expecting ',' delimiter.*"),
        (b"[1]", "parts are missing"),
        (b'{"b": 1}', "parts are missing"),
        (b"\xff", ".*can't decode.*"),
    ],
)
def test_a_damaged_json_file_is_answered_with_its_name_the_reason_and_what_to_do(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=rf"^{re.escape(str(path))} is damaged \({reason}\): delete it\.$"):
        read_json(path, {"a"}, "delete it")


@pytest.mark.parametrize(("content", "kind"), [("[1]", DictConfig), ("a: 1", ListConfig), ("a: [", DictConfig)])
def test_a_damaged_yaml_file_is_answered_with_its_name(tmp_path, content, kind):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(Damaged, match=r"a\.yaml is damaged \(.*\): restore it, or start a new run\.$"):
        read_yaml(tmp_path / "a.yaml", kind)


def test_files_that_are_whole_are_read(tmp_path):
    write_text(tmp_path / "a.json", '{"a": 1, "b": 2}')
    write_text(tmp_path / "a.yaml", "a: 1")
    assert read_json(tmp_path / "a.json", {"a"}, "delete it") == {"a": 1, "b": 2}
    assert read_yaml(tmp_path / "a.yaml", DictConfig) == {"a": 1}
