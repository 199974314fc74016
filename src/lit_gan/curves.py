"""The training curves: kept on the device, brought to the CPU once an interval."""

from collections import defaultdict

import torch
from torch import Tensor

from lit_gan.errors import UserError


class Diverged(UserError):
    """A loss, or what the networks put out, is not finite any more."""

    def __init__(self, name: str, value: float, update: int):
        super().__init__(f"{name} became {value} at generator update {update}: training stopped")


class Curves:
    """Collects tensors under names without looking at them, so that no update waits for the device.

    `history` are the values of the running interval, `latest` the means of the last one that was
    closed, `unlogged` the same until they are logged.
    """

    def __init__(self):
        self.history: dict[str, list[Tensor]] = defaultdict(list)
        self.latest: dict[str, float] = {}
        self.unlogged: dict[str, float] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Adds a value to the running interval; of a vector, which may be of another length after a
        resume on other devices, its mean.

        Raises:
            UserError: it is no tensor, or the name is none.
        """
        if not isinstance(value, Tensor):
            raise UserError(
                f'curves.add("{name}", {value!r}) takes a tensor, not a {type(value).__name__}: wrap it, '
                f"torch.tensor({value!r})."
            )
        if not isinstance(name, str) or name == "update":
            raise UserError(
                f"curves.add({name!r}, ...): a curve needs a name, and 'update' is that of the column of updates: "
                f'call it "d/{name}", say.'
            )
        self.history[name].append(mean(value.detach()))

    def close(self, first_update: int, last_update: int) -> None:
        """Takes the mean of each curve over the interval, and starts the next interval.

        Raises:
            Diverged: a value is not finite; names the first such update and the curve.
        """
        columns = self.checked(first_update, last_update)
        self.history = defaultdict(list)
        self.latest = self.unlogged = {name: column.mean().item() for name, column in columns.items()}

    def checked(self, first_update: int, last_update: int) -> dict[str, Tensor]:
        """The values of each curve in the running interval, one after the other.

        Raises:
            Diverged: as `close`.
        """
        columns = {name: torch.stack(values).float().cpu() for name, values in self.history.items()}
        check_finite(columns, first_update, last_update)
        return columns

    def restore_means(self, means: dict[str, float]) -> None:
        """Takes up the means that a checkpoint holds, as they were not logged before it."""
        self.latest = self.unlogged = means

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The values of the running interval."""
        return {name: list(values) for name, values in self.history.items()}

    def load_state_dict(self, state: dict[str, list[Tensor]], device: torch.device) -> None:
        """Takes up an interval that a stop has cut; in earlier versions it held whole vectors."""
        moved = {name: [mean(value.to(device)) for value in values] for name, values in state.items()}
        self.history = defaultdict(list, moved)


def mean(value: Tensor) -> Tensor:
    """The mean of a tensor of any shape, in single precision at least; that of no numbers is NaN."""
    return value.mean(dtype=torch.promote_types(value.dtype, torch.float32))


def check_finite(columns: dict[str, Tensor], first_update: int, last_update: int) -> None:
    """Refuses values that are not finite; a column holds equally many values of each update of the
    interval."""
    broken = []
    for name, column in columns.items():
        bad = (~torch.isfinite(column)).nonzero()
        if len(bad):
            updates = last_update - first_update + 1
            broken.append((first_update + int(bad[0]) * updates // len(column), name, column[bad[0]].item()))
    if broken:
        update, name, value = min(broken, key=lambda entry: entry[0])
        raise Diverged(name, value, update)
