"""What of the user's shell the pipeline does not use: names only, as values may be secrets."""

from collections.abc import Sequence

from vlkd_steps.checks.check_result import CheckResult, ok, warn
from vlkd_steps.core.environment import profile_key

ELSEWHERE = {
    "PYTHON": "the steps import this project and its environment; install there what they need",
    "MLFLOW_": "params.yaml names the experiment, and `vlkd ui` serves it",
}


def check(ignored: Sequence[str]) -> list[CheckResult]:
    """A line for each variable that was set and does not reach the programs that are started.

    Args:
        ignored: as `environment.use_own` returns them.
    """
    return [warn("variables", f"{name} is set, and not used", instead(name)) for name in ignored] or [
        ok("variables", "none that the pipeline leaves out")
    ]


def instead(name: str) -> str:
    if name.startswith("SBATCH_"):
        key = profile_key(name)
        return f"set {key} in the profile" if key else "the pipeline chooses that itself"
    return next((hint for family, hint in ELSEWHERE.items() if name.startswith(family)), "")
