"""The student alone: the task's loss only. The reference for every gain."""

from vlkd_steps.methods.objective import Objective


class Finetune(Objective):
    """L = L_task."""


OBJECTIVE = Finetune
