"""An experiment's name as a value of Snakemake's ``--config``, which reads 2024_05 as a number, even in quotes."""

import shlex


def entry(experiment: str) -> str:
    """``experiment=NAME`` as one argument of a command, with the YAML tag that some names need."""
    return f"experiment=!!str {experiment}" if _is_no_text(experiment) else f"experiment={experiment}"


def typed(experiment: str) -> str:
    """``--config experiment=NAME`` as it is typed in a shell."""
    return f"--config {shlex.quote(entry(experiment))}"


def _is_no_text(experiment: str) -> bool:
    try:
        float(experiment)
    except ValueError:
        return experiment in ("True", "False")
    return True
