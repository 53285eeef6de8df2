"""vlkd_steps.txt: the installed package's version and a hash of its files, for DVC, which sees only files of a project.

In a clone dvc.yaml depends on the folder `vlkd_steps`. A project of `vlkd init` has none: there a first stage of
dvc.yaml, which DVC always runs, calls ``python -m vlkd_steps.graph.installed_code``, and the phases depend on the file.
`keep_current` updates the file before DVC records or compares results. Commit the file to git.
"""

import hashlib
import importlib.metadata
from pathlib import Path

from vlkd_steps.core import files, step

FILE = Path("vlkd_steps.txt")
PACKAGE = Path(__file__).absolute().parents[1]


def text() -> str:
    """The file's content for the installed package."""
    total = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.is_file() and path.parent.name != "__pycache__"):
        total.update(f"{path.relative_to(PACKAGE).as_posix()} {files.sha256(path)}\n".encode())
    return f"vlkd-steps {version()}\nsha256 {total.hexdigest()}\n"


def version() -> str:
    try:
        return importlib.metadata.version("vlkd-steps")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def keep_current() -> None:
    """Write the file again if it does not match this package; a clone has no such file."""
    if FILE.is_file() and FILE.read_text(encoding="utf-8") != (now := text()):
        files.write_text(FILE, now)


@step.entry
def main(argv: object = None) -> int:
    files.write_text(FILE, text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
