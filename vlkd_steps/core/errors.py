"""The one exception for a user's mistake: what is wrong, where, what to do."""

from vlkd_steps.core.redaction import redacted


class UserError(Exception):
    """Ends a step with one message on stderr and exit status 2, without a traceback.

    Write the message as three things in this order: what is wrong, where (file, line or
    field, value), and what to do about it. Passwords and tokens of addresses in it are left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(redacted(message))
