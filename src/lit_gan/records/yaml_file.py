"""YAML files that a run wrote."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lit_gan.errors import UserError, one_line


def read_yaml(path: Path, kind: type[DictConfig] | type[ListConfig]) -> DictConfig | ListConfig:
    """The content of a YAML file of keys or of a list.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = OmegaConf.create(path.read_text(encoding="utf-8"))
        if isinstance(content, kind):
            return content
        reason = "it is not what a run writes"
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, AssertionError) as error:
        reason = one_line(str(error)) or "it holds a single value"
    raise UserError(f"{path} is damaged ({reason}): restore it, or start a new run.")
