"""The baseline that keeps its teacher at inference."""

from vlkd_steps.config.models.method import Method, Settings


class PlugIn(Settings):
    """None."""


METHOD = Method(PlugIn, keeps_teacher=True)
