"""dvc_vars.yaml: the names over which dvc.yaml repeats its stages, derived from the experiment in params.yaml.

    python -m vlkd_steps.graph.dvc_vars      # write it now: to commit it before anything runs, or after a merge

DVC reads dvc.yaml, and with it this file, before it runs anything, and a fresh clone must be able to `dvc pull`
without running our code. So the file is committed, beside params.yaml and dvc.lock. It is not edited by hand. Every
command that runs the experiment in params.yaml keeps it current: snakemake (not its dry run), `graph.commit` and `sync`
write it. A stage of `dvc repro` that finds it outdated writes it and stops, since DVC has already read the old one.
That stage does run, as dvc.yaml lists this file among the parameters of every phase.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from vlkd_steps.config import composition
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.phases import PHASES
from vlkd_steps.core import layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import write_text
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import watched

DVC_LOCK = Path("dvc.lock")
HEADER = """\
# Which names the stages of dvc.yaml are repeated for. Derived from params.yaml by snakemake, dvc repro and vlkd sync:
# do not edit it, commit it with params.yaml.
"""


def text(c: Composition) -> str:
    """The file's content: for each stage that versions bytes, its lists of names."""
    lines = []
    for phase in PHASES.values():
        for stage, names in phase.bytes.items():
            # JSON, since DVC's YAML takes a plain 1e3 for a number
            lines += [f"{stage}:", *(f"  {key}: {json.dumps(listed)}" for key, listed in names(c).items())]
    return HEADER + "".join(f"{line}\n" for line in lines)


def instances(c: Composition) -> list[str]:
    """The stages that version bytes, each as DVC names its repetitions: ``features_bytes@clip_scenes-scenes_vqa``."""
    return [
        f"{stage}@{'-'.join(items)}"
        for phase in PHASES.values()
        for stage, names in phase.bytes.items()
        for items in product(*names(c).values())
    ]


def keep_current(c: Composition) -> None:
    """Write the file, with a note, if it does not match the composition.

    Raises:
        UserError: it cannot be written.
    """
    if _write(c):
        say(f"note: updated {layout.DVC_VARS} to match params.yaml; commit it with params.yaml", file=sys.stderr)


def check_stage(c: Composition) -> None:
    """Check the file, and what DVC watches, at the start of a stage of `dvc repro`; does nothing elsewhere.

    Raises:
        UserError: DVC has read an outdated file, which is updated now, or does not watch a folder of the user's.
    """
    if "DVC_STAGE" not in os.environ:
        return
    watched.check(c.params)
    if _write(c):
        raise UserError(
            f"{layout.DVC_VARS} did not match params.yaml when DVC read it; it does now; repeat the command: dvc repro"
        )


def is_current(c: Composition) -> bool:
    """Whether the file matches the composition."""
    try:
        return layout.DVC_VARS.read_text(encoding="utf-8") == text(c)
    except (OSError, UnicodeDecodeError):
        return False


def _write(c: Composition) -> bool:
    """Write the file if it is outdated and the experiment is that of params.yaml, the only one that DVC versions."""
    if c.experiment != composition.read_params(Path("params.yaml")).experiment or is_current(c):
        return False
    try:
        write_text(layout.DVC_VARS, text(c))
        _forget_others(c)
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be written ({error.strerror}), but must be updated for DVC to match params.yaml; "
            "let this user write into the project's folder"
        ) from error
    return True


def _forget_others(c: Composition) -> None:
    """Drop from dvc.lock the names that the experiment no longer needs; DVC itself never removes them."""
    if not DVC_LOCK.is_file():
        return
    from dvc.utils.serialize import ParseError, dumps_yaml, parse_yaml

    try:
        lock = parse_yaml(DVC_LOCK.read_text(encoding="utf-8"), str(DVC_LOCK))
        recorded = dict(lock["stages"])
    except (ParseError, ValueError, KeyError, TypeError):  # DVC itself says what is wrong with it
        return
    wanted = set(instances(c))
    kept = {name: stage for name, stage in recorded.items() if "@" not in name or name in wanted}
    if kept != recorded:
        write_text(DVC_LOCK, dumps_yaml({**lock, "stages": kept}))


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    keep_current(composition.compose())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
