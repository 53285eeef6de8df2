"""What can be verified, a run or a pre-trained model: its folder, and what that records of how it was made."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import journal

Step = tuple[str, dict[str, Any]]
"""A step of the graph by name, and its ``--config``."""


@dataclass(frozen=True)
class Recorded:
    """A finished result that can be made again.

    Attributes:
        called: what it is, in messages.
        folder: from the project's root.
        described: what its config.yaml holds.
        provenance: what its provenance.json holds; empty where there is none.
        events: of its journal those of this result; empty where there is no journal.
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
        """All that is compared, relative to the folder."""
        raise NotImplementedError

    def edited(self) -> bool:
        """Whether config.yaml was changed after training: its content key no longer matches."""
        raise NotImplementedError

    def listed(self) -> tuple[Path, Mapping[Path, str]]:
        """The file that records the sha256 of its files as its job left them, and these."""
        raise NotImplementedError

    def steps(self) -> Iterator[Step]:
        """The steps that make it again, on the kind of device that it was made on."""
        raise NotImplementedError

    def links(self) -> list[Path]:
        """What they read of the folder in which they write."""
        raise NotImplementedError

    def on_its_device(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe for that kind of device: ``auto`` would choose a GPU for what was trained without one."""
        device = (self.provenance.get("device") or "").partition(":")[0]
        return {**recipe, **({"device": device} if device else {})}


def description(folder: Path) -> dict[str, Any]:
    """What a folder's config.yaml holds.

    Raises:
        UserError: it cannot be read, or does not say what it was made of.
    """
    path = layout.run_config(folder)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {**content, "made_of": dict(content["made_of"])}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read ({' '.join(str(error).split())}); bring it back: dvc checkout"
        ) from None


def provenance(folder: Path) -> dict[str, Any]:
    """What a folder's provenance.json holds; empty where there is none.

    Raises:
        UserError: it is not JSON.
    """
    path = layout.provenance(folder)
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); bring it back: dvc checkout") from error
    return found


def check_whole(recorded: Recorded, finish: str) -> None:
    """Refuse a folder that lacks an output.

    Args:
        finish: the command that makes it.

    Raises:
        UserError: the outputs that are missing.
    """
    if missing := [name for name in recorded.outputs() if not (recorded.folder / name).is_file()]:
        raise UserError(
            f"{recorded.folder} is not finished: {', '.join(map(str, missing[:3]))} is missing; finish it ({finish}), "
            "or fetch its files (dvc pull)"
        )
