"""Environment variables of the user's shell that the pipeline ignores: names only, as values may be secrets."""

from collections.abc import Sequence

from vlkd_steps.checks.check_result import CheckResult, ok, warn
from vlkd_steps.core.environment import profile_key

ELSEWHERE = {
    "PYTHON": "the steps import only this project's environment; install there what they need",
    "MLFLOW_": "params.yaml names the experiment, and `vlkd ui` serves it",
}


def check(ignored: Sequence[str]) -> list[CheckResult]:
    """A line for each variable that is set and not passed on to the programs that are started.

    Args:
        ignored: those that `environment.use_own` returned.
    """
    return [warn("variables", f"{name} is set, but ignored", instead(name)) for name in ignored] or [
        ok("variables", "none that the pipeline ignores")
    ]


def instead(name: str) -> str:
    if name.startswith("SBATCH_"):
        key = profile_key(name)
        return f"set {key} in the profile" if key else "the pipeline chooses that itself"
    return next((hint for family, hint in ELSEWHERE.items() if name.startswith(family)), "")
