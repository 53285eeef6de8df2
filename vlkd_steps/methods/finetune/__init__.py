"""The student alone."""

from vlkd_steps.config.models.method import Method, Settings, never


class Finetune(Settings):
    """None."""


METHOD = Method(Finetune, needs_teacher=never)
