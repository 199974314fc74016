"""What `~NAME` may remove from a config: nothing that the command needs."""

from typing import Any

from lit_gan.catalogue.configs import choices, default_choices, default_settings
from lit_gan.errors import UserError
from lit_gan.overrides import parse_overrides


def check_deletions(settings: list[str], config_name: str) -> None:
    """Refuses to remove a group with a choice, or a setting of the command itself: what is left out of
    neither.

    Args:
        settings: as typed; what an earlier version has recorded of a run goes on to mean what it meant.

    Raises:
        UserError: names it, and what to write in place of it.
    """
    groups, own = default_choices(config_name), default_settings(config_name)
    for override in parse_overrides(settings):
        name = override.key_or_group
        if not override.is_delete() or (name in groups and groups[name] is None):
            continue
        if name in groups:
            raise UserError(f"{override.input_line} cannot be followed: {instead_of_removal(name, groups[name])}.")
        if name in own:
            raise UserError(
                f"{override.input_line} removes a setting that {config_name} needs: write {name}=VALUE, or leave it "
                f"out for the default."
            )


def instead_of_removal(group: str, default: Any) -> str:
    """What to write for a group without any choice."""
    if "none" in choices(group):
        return f"write {group}=none for none"
    if isinstance(default, list):
        return f"write {group}=[] for none"
    return f"a {group} is needed, so write {group}=NAME, one of {', '.join(choices(group))}"
