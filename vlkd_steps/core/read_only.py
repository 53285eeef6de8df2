"""Allow rebuilding results that DVC has made read-only; report first what this user can neither replace nor touch.

With ``cache.type hardlink`` (which halves disk use) DVC removes the write permission of every file that it has
recorded: they are links into its cache. Snakemake treats such files as `protected()` and refuses the whole run, and
so does ``--touch``. No rule here protects anything, and no step opens a result in place: outputs are removed before a
job and written by renaming, which leaves the cache unchanged.

What matters is whether an output can be removed (its folder's permission) or touched (its owner). Snakemake finds
that out only in the middle of a run, and after a failed touch it removes the outputs of that job.
"""

import os
from pathlib import Path
from typing import Any

from vlkd_steps.core import files


def judge_by_folder_and_owner(job_class: Any, error: type[Exception]) -> None:
    """Replace the check that Snakemake's ``Job`` makes of all jobs before the first one starts.

    Args:
        error: raised with one message for a job's outputs that cannot be rebuilt or touched.
    """

    async def check_protected_output(job: Any) -> None:
        touching = job.dag.workflow.touch
        written = job.output if touching else [*job.output, *(getattr(job, "log", None) or ())]
        outputs = [Path(name) for name in written if os.path.lexists(name) or not touching]
        if refused := [path for path in outputs if not (touchable(path) if touching else removable(path))]:
            raise error(touch_message(refused) if touching else remove_message(refused))

    if not hasattr(job_class, "check_protected_output"):
        raise AttributeError(
            "this snakemake looks for read-only outputs elsewhere: correct vlkd_steps/core/read_only.py"
        )
    job_class.check_protected_output = check_protected_output


def removable(path: Path) -> bool:
    """Whether this user may make a file, or make it again: the folder decides, or that in which it is to be made."""
    return files.writable(next(folder for folder in path.absolute().parents if folder.exists()))


def touchable(path: Path) -> bool:
    """Whether this user may set the times of a file (or of a link); tested by setting its current ones."""
    found = path.lstat()
    try:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
    except OSError:
        return False
    return True


def remove_message(refused: list[Path]) -> str:
    folder = refused[0].parent
    return (
        f"{_named(refused)} has to be made again, and the folder {folder} cannot be written to by this user; "
        f"make it writable (chmod u+w {folder}) or, if it is another user's, let them run this"
    )


def touch_message(refused: list[Path]) -> str:
    owner = refused[0].lstat().st_uid
    return (
        f"{_named(refused)} cannot be touched by this user (owner: uid {owner}), so that snakemake would go on taking "
        "it for out of date; let the owner run this, or make the files your own (chown, or cp and mv)"
    )


def _named(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} (and {len(paths) - 1} more of its job)"
