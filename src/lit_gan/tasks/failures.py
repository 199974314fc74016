"""What goes wrong in the middle of a training, and the sentence that answers it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from lit_gan.callbacks import Stopped
from lit_gan.curves import Diverged
from lit_gan.data.module import lost_process
from lit_gan.errors import UserError, modules_below, own_fault
from lit_gan.records.files import Unwritable
from lit_gan.records.results import Results
from lit_gan.records.trace import log_traceback
from lit_gan.system.memory import ran_out, shortage
from lit_gan.tasks.trainer import is_refusal, refusal


@contextmanager
def explaining(config: DictConfig, results: Results, processes: int) -> Iterator[None]:
    """Turns the errors of Lightning, W&B or a worker of the data, and memory that is not there, into
    UserErrors, where one sentence can answer them.

    Of a fault in code of one's own, which the command answers in a sentence, the run's log keeps the traceback:
    hours may lie before it.

    Args:
        processes: that train together.

    Raises:
        KeyboardInterrupt: a second Ctrl-C came.
        SystemExit: another process has failed first.
        Exception: a fault that is not the user's, as it was raised.
    """
    try:
        yield
    except SystemExit as end:  # Lightning's answer to a second Ctrl-C
        raise KeyboardInterrupt from end
    except (Stopped, UserError):
        raise
    except Exception as error:
        exit_if_another_failed(results, processes)
        if lost := lost_process(error, config.workers):
            raise lost from error
        if ran_out(error):
            raise UserError(f"{shortage(error)}: {less_memory(config, error)}.") from error
        if fault := own_fault(error):
            log_traceback(fault, error)
            raise
        if is_refusal(error):
            raise UserError(refusal(config.trainer, error)) from error
        raise


def less_memory(config: DictConfig, error: BaseException) -> str:
    """What a training can do with less memory: its updates, or its scores if those had too little."""
    fewer = "or let fewer processes run side by side"
    if any(module.startswith("lit_gan.metrics") for module in modules_below(error)):
        used = dict.fromkeys(config.metrics[when] for when in ("during", "final"))
        names = " and ".join(f"protocol.{name}.batch_size={config.protocol[name].batch_size}" for name in used)
        return f"lower {names}, {fewer}"
    parts = 2 * config.optim.accumulate
    smaller = f"set optim.accumulate={parts} for gradients out of smaller parts of it"
    return f"lower batch_size={config.batch_size} or the width of the networks, {smaller}, {fewer}"


def exit_if_another_failed(results: Results, processes: int) -> None:
    """Ends this process without a word if its error is only that it has lost another, which has
    said why.

    Raises:
        SystemExit: another process has marked the run as failed.
    """
    reason = results.failure() if processes > 1 else None
    if reason is not None:
        results.close("failed", reason)
        sys.exit(1)


@contextmanager
def advising(directory: Path, saved: Callable[[], int | None]) -> Iterator[None]:
    """Adds, to the sentence of a training that diverged or cannot write, what is left of it and
    what to do.

    Args:
        directory: of the run.
        saved: gives the update of the newest checkpoint; None if there is none.
    """
    try:
        yield
    except Diverged as error:
        raise UserError(f"{error}, and {what_is_kept(saved())}; {calmer_game(directory, saved())}.") from error
    except Unwritable as error:
        goes_on = "" if saved() is None else f", from which resume={directory} goes on"
        raise UserError(f"{str(error).rstrip('.')}; {what_is_kept(saved())}{goes_on}.") from error


def what_is_kept(update: int | None) -> str:
    """The part of a failure's sentence about the newest checkpoint."""
    return "there is no checkpoint yet" if update is None else f"the checkpoint of update {update} was kept"


def calmer_game(directory: Path, update: int | None) -> str:
    """What to do about a training that diverged; to resume it would be to play the same game again."""
    if update is None:
        return "lower the learning rate (optim.d.lr, optim.g.lr) or add a regularizer (reg=spectral)"
    branch = f"resume={directory} hydra.run.dir=NEW optim.d.lr=LOWER optim.g.lr=LOWER"
    return f"lower the learning rate from there on, in a branch ({branch}), or begin anew with reg=spectral"
