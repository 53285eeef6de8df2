"""Hashes of what ships with the package beside code, which code fingerprints do not cover."""

from vlkd_steps.core import components
from vlkd_steps.core.files import digest, sha256

ASSETS = components.ROOT / "assets"


def of(named: str | None) -> str:
    """A hash of the file or folder that ``asset:NAME`` means; empty for any other name."""
    path = ASSETS / (named or "").removeprefix("asset:")
    if not (named or "").startswith("asset:") or not path.exists():
        return ""
    return sha256(path) if path.is_file() else digest({each.name: sha256(each) for each in sorted(path.iterdir())})


def clip(model: str) -> str:
    """A hash of a CLIP's architecture and tokenizer; empty for one of open_clip's own."""
    architecture = ASSETS / "open_clip" / f"{model}.json"
    if not architecture.is_file():
        return ""
    paths = [architecture, *sorted((ASSETS / "scenes_tokenizer").iterdir())]
    return digest([[path.name, sha256(path)] for path in paths])
