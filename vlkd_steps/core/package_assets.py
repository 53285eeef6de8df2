"""What ships with the package beside code: where it is, and its hashes, since code fingerprints do not cover it."""

from pathlib import Path

from vlkd_steps.core import components
from vlkd_steps.core.files import digest, sha256

ASSETS = components.ROOT / "assets"


def path(named: str | None) -> Path | None:
    """The file or folder that ``asset:NAME`` means; None for any other name."""
    return ASSETS / named.removeprefix("asset:") if named and named.startswith("asset:") else None


def of(named: str | None) -> str:
    """A hash of the file or folder that ``asset:NAME`` means; empty for any other name, and where there is none."""
    found = path(named)
    if found is None or not found.exists():
        return ""
    return sha256(found) if found.is_file() else digest({each.name: sha256(each) for each in sorted(found.iterdir())})


def clip(model: str) -> str:
    """A hash of a CLIP's architecture and tokenizer; empty for one of open_clip's own."""
    architecture = ASSETS / "open_clip" / f"{model}.json"
    if not architecture.is_file():
        return ""
    paths = [architecture, *sorted((ASSETS / "scenes_tokenizer").iterdir())]
    return digest([[path.name, sha256(path)] for path in paths])
