"""The words of a command line that name configs outside the package."""

from omegaconf import DictConfig, OmegaConf


def own_config_flags(saved: DictConfig) -> list[str]:
    """The words on a command line that named configs outside the package.

    Args:
        saved: what Hydra remembers of the command, under the key "hydra".
    """
    sources = OmegaConf.select(saved, "hydra.runtime.config_sources") or []
    folders = [source.path for source in sources if source.provider == "command-line"]
    searched = [word for word in OmegaConf.select(saved, "hydra.overrides.hydra") or [] if "searchpath" in word]
    return [*(word for folder in folders for word in ("--config-dir", folder)), *searched]
