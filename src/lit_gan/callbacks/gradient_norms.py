"""The length of the players' gradients over training."""

from collections.abc import Callable

from lightning.pytorch import Callback, Trainer
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lit_gan.curves import Curves
from lit_gan.errors import UserError
from lit_gan.module import GAN
from lit_gan.records.curve_names import GRADIENT_NORM


class GradientNorms(Callback):
    """Logs the Euclidean norm of each player's gradient over all its parameters, before each of its
    steps: `gradient_norm/d` and `gradient_norm/g`.

    It is that of the loss with all regularizers' terms, averaged over all processes, before
    `optim.d_clip` and `optim.g_clip`. Nothing waits for the device: the norms are curves as the
    losses are.
    """

    def __init__(self):
        self.hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Looks at the gradients before each step from now on.

        Raises:
            UserError: the training is in float16, whose gradients are multiplied by a scale that
                changes from update to update.
        """
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            raise UserError(
                f"callbacks=gradient_norms cannot see gradients apart from their scale at trainer.precision="
                f"{trainer.precision}: choose bf16-mixed or 32-true, or leave it out."
            )
        for player, optimizer in zip("dg", trainer.optimizers, strict=True):
            self.hooks.append(optimizer.register_step_pre_hook(noting(player, pl_module.curves)))
            # before the hook that clips; Lightning's own on_before_optimizer_step comes after it
            optimizer._optimizer_step_pre_hooks.move_to_end(self.hooks[-1].id, last=False)

    def teardown(self, trainer: Trainer, pl_module: GAN, stage: str) -> None:
        """Looks no more."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []


def noting(player: str, curves: Curves) -> Callable[..., None]:
    """A hook of an optimizer that adds the norm of the gradient to a player's curve."""

    def note(optimizer: Optimizer, *_: object) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        curves.add(f"{GRADIENT_NORM}{player}", get_total_norm(gradients))

    return note
