"""The length of the players' gradients over training."""

from lightning.pytorch import Callback, Trainer
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from lit_gan.curves import GRADIENT_NORM
from lit_gan.errors import UserError
from lit_gan.module import GAN


class GradientNorms(Callback):
    """Logs the Euclidean norm of each player's gradient over all its parameters, before each of its
    steps: `gradient_norm/d` and `gradient_norm/g`.

    It is that of the loss with all regularizers' terms, averaged over all processes, before
    `optim.d_clip` and `optim.g_clip`. Nothing waits for the device: the norms are curves as the
    losses are.
    """

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:
        """Refuses gradients that are multiplied by a scale which changes from update to update.

        Raises:
            UserError: the training is in float16.
        """
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            raise UserError(
                f"callbacks=gradient_norms cannot see gradients apart from their scale at trainer.precision="
                f"{trainer.precision}: choose bf16-mixed or 32-true, or leave it out."
            )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: GAN, optimizer: Optimizer) -> None:
        """Notes the norm of the gradient of which a step is about to be made."""
        player = "d" if optimizer is trainer.optimizers[0] else "g"
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        pl_module.curves.add(f"{GRADIENT_NORM}{player}", get_total_norm(gradients))
