"""Score anyone's files in the official formats by the official metrics; no pipeline needed (docs/score.md):

    vlkd score vqa --questions Q.json --annotations A.json --results R.json --out m.json
    vlkd score vcr --annotations val.jsonl --predictions leaderboard.csv
    vlkd score snli_ve --annotations dev.jsonl --results R.json
    vlkd score captions --annotations captions.json --results results.json

A short table goes to stdout, everything to --out; equal inputs give equal bytes. Exit status 2, and no number, where
the files are not in their format or do not belong together. Never imports torch.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vlkd_steps.core import files, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.scoring import captions, snli_ve, vcr, vqa


class Task(Protocol):
    """What a file of `vlkd_steps.scoring` offers: its options, the metrics, and what of them the table says."""

    @property
    def INPUTS(self) -> Sequence[str]: ...
    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def measure(self, given: argparse.Namespace) -> dict[str, Any]: ...
    def rows(self, metrics: Mapping[str, Any]) -> list[tuple[str, float]]: ...
    def notes(self, metrics: Mapping[str, Any]) -> list[str]: ...


TASKS: dict[str, Task] = {"vqa": vqa, "vcr": vcr, "snli_ve": snli_ve, "captions": captions}


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="vqa|vcr|snli_ve|captions")
    for name, task in TASKS.items():
        own = tasks.add_parser(name, description=task.__doc__, help=(task.__doc__ or "").partition(": ")[2])
        task.arguments(own)
        own.add_argument("--out", type=Path, metavar="m.json", help="write the metrics here")
    given = parser.parse_args(argv)
    task = TASKS[given.task]

    inputs = {name: path for name in task.INPUTS if (path := getattr(given, name)) is not None}
    check(inputs, given.out)
    metrics = task.measure(given)
    print(table(given.task, task.rows(metrics)))
    for line in task.notes(metrics):
        print(line)
    if given.out:
        whole = {"task": given.task, **metrics, "inputs": {name: files.sha256(path) for name, path in inputs.items()}}
        try:
            files.write_json(given.out, whole)
        except OSError as error:
            raise UserError(f"--out {given.out}: cannot be written ({error.strerror})") from error
        print(f"written to {given.out}")
    return 0


def check(inputs: Mapping[str, Path], out: Path | None) -> None:
    """Refuse what can be refused before anything is read.

    Raises:
        UserError: an input is no file, or `out` is a folder or one of the inputs.
    """
    for name, path in inputs.items():
        if not path.is_file():
            raise UserError(f"--{name} {path}: there is no such file; give the path of an existing one")
        if out and out.exists() and out.samefile(path):
            raise UserError(f"--out {out} is the file of --{name}, which it would overwrite; give another path")
    if out and out.is_dir():
        raise UserError(f"--out {out} is a folder; give the path of a file")


def table(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Names and percentages in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {value:6.2f}" for name, value in rows)])


if __name__ == "__main__":
    raise SystemExit(main())
