"""What a run was told, as names with single values, and the final scores that it came to, for
TensorBoard's HParams tab."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from lit_gan.records.curve_names import FINAL
from lit_gan.records.results import Record
from lit_gan.settings import PRESENTATION

Value = bool | int | float | str

UNTOLD = ("choices", "callbacks", "logger", "protocol", "resume", "debug", *PRESENTATION)
"""Settings that say how a run is watched and scored and where it stands in a sweep, not what it
plays."""


def hyperparameters(settings: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Value]:
    """The choices of a run, then its settings by the names that they have on the command line.

    Args:
        settings: the whole config.
        choices: the choice of each config group, or a list of them, as `results.json` has them.
    """
    told = {name: value for name, value in choices.items() if value and name not in UNTOLD}
    words = {name: "+".join(value) if isinstance(value, list) else value for name, value in told.items()}
    return words | dict(single_values({name: value for name, value in settings.items() if name not in UNTOLD}))


def single_values(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """The full name and the value of each setting that has one; a list is a value, as text."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from single_values(value, f"{prefix}{name}.")
        elif value is not None and not name.startswith("_"):
            yield f"{prefix}{name}", value if isinstance(value, Value) else str(value)


def write_session(logger: TensorBoardLogger, values: Mapping[str, Value], status: str, final: Record | None) -> None:
    """Writes the row of a run in the HParams tab: its hyperparameters, and its final scores where
    there are any.

    The row is a folder of its own, `hparams`, which is replaced where a run that went on has ended
    again: TensorBoard keeps the first hyperparameters that it meets in a folder, and takes every
    curve beside them for a metric of the table.

    Args:
        status: "finished", "stopped" or "failed".
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = Path(logger.log_dir) / "hparams"
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for summary in session(values, status):
            writer.file_writer.add_summary(summary)
        for name, value in (final["scores"] if final else {}).items():
            writer.add_scalar(f"{FINAL}{name}", value, final["update"])


def session(values: Mapping[str, Value], status: str) -> list[Any]:
    """TensorBoard's messages about the beginning and the end of a run, which has no other name than
    that of its folder.

    Its own functions for them need TensorFlow, or name the run by a hash; torch's takes every run
    for one that has succeeded.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

    start, ends = SessionStartInfo(), {"finished": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
    for name, value in values.items():
        kind = {bool: "bool", str: "string"}.get(type(value), "number")
        setattr(start.hparams[name], f"{kind}_value", value)
    contents = {
        metadata.SESSION_START_INFO_TAG: HParamsPluginData(session_start_info=start),
        metadata.SESSION_END_INFO_TAG: HParamsPluginData(session_end_info=SessionEndInfo(status=ends.get(status))),
    }
    described = {tag: metadata.create_summary_metadata(content) for tag, content in contents.items()}
    return [
        Summary(value=[Summary.Value(tag=tag, metadata=each, tensor=metadata.NULL_TENSOR)])
        for tag, each in described.items()
    ]
