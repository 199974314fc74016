"""The Trainer with which tests play a game that they have built by hand."""

from lightning.pytorch import Trainer

from lit_gan.callbacks import essential_callbacks


def quiet_trainer(gan, updates, *callbacks, **settings):
    """A Trainer on the CPU for so many updates of G, with what every game needs; it saves, shows and logs nothing."""
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    own = {"accelerator": "cpu", "logger": False, "max_steps": updates, "max_epochs": -1, **quiet}
    return Trainer(**{**own, **settings}, callbacks=[*essential_callbacks(gan), *callbacks])
