"""Receipts: what a phase of the graph made for an experiment, file by file, as sha256.

    python -m vlkd_steps.receipt check receipts/scenes/prepare.json data/instances/scenes_vqa.parquet

`dvc.yaml` has two kinds of stages. A phase's stage runs Snakemake and its output is the receipt; the
next phase's stage depends on the receipt, not on shared folders, so another experiment's data in the
same folders dirties nothing. A second, short stage per data set, model or feature store versions the
bytes: it checks them against the receipt, so that bytes changed by hand are never recorded as made.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from vlkd_steps import step
from vlkd_steps.errors import UserError
from vlkd_steps.files import sha256, write_json


def write(path: Path, files: Iterable[Path]) -> None:
    """Record the sha256 of `files` at `path`, atomically."""
    write_json(path, {str(file): sha256(file) for file in sorted(files)})


def check(receipt: Path, roots: Sequence[Path]) -> int:
    """Compare what lies at or below `roots` with the receipt and with the manifests found there.

    Returns:
        The number of files compared.

    Raises:
        UserError: a file is missing or differs, or the receipt names nothing below a root.
    """
    recorded: dict[str, str] = json.loads(receipt.read_text(encoding="utf-8"))
    compared = 0
    for root in roots:
        below = {Path(name): value for name, value in recorded.items() if Path(name).is_relative_to(root)}
        if not below:
            raise UserError(f"{receipt} names nothing below {root}; run: snakemake --cores all")
        for manifest in sorted(path for path in below if path.name == "manifest.json" and path.is_file()):
            files = json.loads(manifest.read_text(encoding="utf-8")).get("files", {})
            below |= {manifest.parent / name: value for name, value in files.items()}
        for path, expected in sorted(below.items()):
            _compare(path, expected, receipt)
        compared += len(below)
    return compared


def _compare(path: Path, expected: str, receipt: Path) -> None:
    remedy = f"bring it back with `dvc checkout`, or delete {path} and {receipt} and run: snakemake --cores all"
    if not path.is_file():
        raise UserError(f"{path} is missing, but {receipt} names it; {remedy}")
    if sha256(path) != expected:
        raise UserError(f"{path} was changed after it was made (sha256 differs from {receipt}); {remedy}")


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    checking = commands.add_parser("check", help="compare files with a receipt")
    checking.add_argument("receipt", type=Path)
    checking.add_argument("roots", type=Path, nargs="+")
    arguments = parser.parse_args(argv)
    if not arguments.receipt.is_file():
        raise UserError(f"{arguments.receipt} is missing; run: snakemake --cores all")
    compared = check(arguments.receipt, arguments.roots)
    print(f"{compared} files are as {arguments.receipt} says", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
