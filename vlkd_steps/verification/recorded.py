"""A run or pre-trained model that can be verified: its folder, and what that records about its making."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from vlkd_steps.core import files, layout, run_yaml
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import journal

Step = tuple[str, dict[str, Any]]
"""The name of a step of the graph, and its ``--config``."""


@dataclass(frozen=True)
class Recorded:
    """A finished result that can be repeated.

    Attributes:
        called: its kind, as messages name it.
        folder: from the project's root.
        described: its config.yaml.
        provenance: its provenance.json; empty if there is none.
        events: the journal's events of this result; empty if there is no journal.
    """

    called: ClassVar[str]
    folder: Path
    described: Mapping[str, Any]
    provenance: Mapping[str, Any]
    events: list[journal.Event]

    @property
    def own(self) -> dict[str, Any]:
        """Its configuration."""
        raise NotImplementedError

    @property
    def start(self) -> Mapping[str, Any]:
        """The last ``start`` of its journal: parameters, digests of the evaluation sets."""
        starts = [event for event in self.events if event["event"] == "start"]
        return starts[-1] if starts else {}

    def outputs(self) -> list[Path]:
        """The files that are compared, relative to the folder."""
        raise NotImplementedError

    def edited(self) -> bool:
        """Whether config.yaml was changed after training: its content key no longer matches."""
        raise NotImplementedError

    def listed(self) -> tuple[Path, Mapping[Path, str]]:
        """The file that records the sha256 of its files at the end of the job, and these hashes."""
        raise NotImplementedError

    def steps(self) -> Iterator[Step]:
        """The steps that repeat it, on the same kind of device."""
        raise NotImplementedError

    def links(self) -> list[Path]:
        """What these steps read from the folder that they write to."""
        raise NotImplementedError

    def on_its_device(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe for the same kind of device: ``auto`` might choose a GPU for a run trained without one."""
        device = (self.provenance.get("device") or "").partition(":")[0]
        return {**recipe, **({"device": device} if device else {})}


def description(folder: Path, keys: Iterable[str]) -> dict[str, Any]:
    """A folder's config.yaml.

    Args:
        keys: dotted ones that it has to have, beside its content key and its inputs.

    Raises:
        UserError: it cannot be read, or lacks one of them.
    """
    path = layout.run_config(folder)
    try:
        content = run_yaml.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}); restore it: dvc checkout") from None
    for key in ("content_key", "made_of.code", *keys):
        if _entry(content, key) is None:
            raise UserError(f"{path} has no {key}; restore it: dvc checkout")
    return dict(content)


def _entry(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def provenance(folder: Path) -> dict[str, Any]:
    """A folder's provenance.json; empty if there is none.

    Raises:
        UserError: it is no JSON object.
    """
    path = layout.provenance(folder)
    found: dict[str, Any] = files.read_json(path, "restore it: dvc checkout") if path.exists() else {}
    return found


def check_whole(recorded: Recorded, finish: str) -> None:
    """Refuse a folder that lacks an output.

    Args:
        finish: the command that makes it.

    Raises:
        UserError: outputs are missing.
    """
    if missing := [name for name in recorded.outputs() if not (recorded.folder / name).is_file()]:
        raise UserError(
            f"{recorded.folder} is not finished: {', '.join(map(str, missing[:3]))} is missing; finish it ({finish}), "
            "or fetch its files (dvc pull)"
        )
