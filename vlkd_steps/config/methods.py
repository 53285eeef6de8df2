"""Methods as the configuration knows them: their declarations, found by name (`models.method`)."""

from vlkd_steps.config.models.method import Method
from vlkd_steps.core import components


def declaration(name: str) -> Method:
    """What a method declares of itself, without torch.

    Raises:
        UserError: there is no such method.
    """
    found: Method = components.load("method", name).METHOD
    return found


def runner(name: str) -> str:
    """The module whose ``train_seeds(config)`` does the runs of a method."""
    return f"vlkd_steps.runs.{declaration(name).runner}"
