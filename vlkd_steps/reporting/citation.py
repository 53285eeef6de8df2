"""References to cite, from the project's CITATION.cff."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.config import conf_files

CITATION = Path("CITATION.cff")


def citations() -> list[str]:
    """The software and its references as lines of a bibliography; none if the project has no such file."""
    if not CITATION.is_file():
        return []
    found = conf_files.read(CITATION)
    return [_line(each) for each in (found, *found.get("references", []))]


def _line(work: Mapping[str, Any]) -> str:
    authors = ", ".join(each.get("name") or each.get("family-names", "") for each in work.get("authors", []))
    identifiers = ", ".join(each["value"] for each in work.get("identifiers", []))
    where = (work.get("conference") or {}).get("name", "")
    parts = (authors, work["title"], where, work.get("year"), identifiers)
    return ". ".join(str(part).rstrip(".") for part in parts if part) + "."
