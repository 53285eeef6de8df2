"""A baseline without a student: a linear probe on the frozen teacher's features, which it needs at inference.

It has no objective: `runs.probe` fits the probe.
"""

from vlkd_steps.config.models.base import Count
from vlkd_steps.config.models.method import Method, Settings, always


class ClipProbe(Settings):
    probe_items: Count


METHOD = Method(ClipProbe, runner="probe", keeps_teacher=True, one_space=always)
