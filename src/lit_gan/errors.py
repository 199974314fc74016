"""The one exception that reaches a user as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user can put right. The message is one sentence: the setting, its value and the way out."""
