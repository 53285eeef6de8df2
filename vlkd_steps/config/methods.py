"""What the configuration knows of methods: which runs them, and what a table says of them."""

KEEPS_TEACHER = frozenset({"plug_in"})
"""The methods whose student needs its teacher at inference; tables say so. Each such class says `keeps_teacher`."""

RUNNERS = {"vlkd": "vlkd", "baseline": "baselines"}
"""Method -> the module of `vlkd_steps.runs` that does its runs, where that is not `classify`."""


def runner(method: str) -> str:
    """The module that does the runs of a method: its ``prepare`` is what `runs.seeds` describes."""
    return f"vlkd_steps.runs.{RUNNERS.get(method, 'classify')}"
