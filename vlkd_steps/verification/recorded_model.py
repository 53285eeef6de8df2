"""A pre-trained model as its folder records it: configuration, files, provenance. Its losses are in curve.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlkd_steps.core import checksums, files, layout
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.verification import recorded
from vlkd_steps.verification.recorded import Recorded, Step


class RecordedModel(Recorded):
    """A model that `pretrain` made."""

    called = "model"

    @property
    def own(self) -> dict[str, Any]:
        """The model's part of the `pretrain` job."""
        return dict(self.described["model"])

    def outputs(self) -> list[Path]:
        """All files of the model but the description."""
        names = [path.relative_to(self.folder) for path in self.listed()[1]]
        return [name for name in names if name != layout.run_config(Path())]

    def edited(self) -> bool:
        made_of = {"config": self.own, **self.described["made_of"]}
        return files.digest(made_of) != self.described["content_key"]

    def listed(self) -> tuple[Path, Mapping[Path, str]]:
        listing = layout.model_checksums(self.folder.name)
        return listing, checksums.read(listing)

    def steps(self) -> Iterator[Step]:
        yield "pretrain", {"model": {**self.own, "pretrain": self.on_its_device(self.own["pretrain"])}}

    def links(self) -> list[Path]:
        return [path for path in sorted(self.folder.parent.iterdir()) if path.name != self.folder.name]


def is_model(folder: Path) -> bool:
    """Whether a path from the project's root is that of a pre-trained model."""
    return len(folder.parts) > 1 and folder.parent == layout.model(folder.name).parent


def read(folder: Path) -> RecordedModel:
    """The model in a folder, named from the project's root.

    Raises:
        UserError: there is no model, or it is unfinished, was copied elsewhere or was not made by `pretrain`.
    """
    if not folder.is_dir():
        made = [path.parent.name for path in folder.parent.glob(f"*/{layout.model_checksums('any').name}")]
        near = nearest(folder.name, made) if made else "pre-train it: snakemake --cores all"
        raise UserError(f"there is no model {folder}; {near}")
    for path in (layout.model_config(folder.name), layout.model_checksums(folder.name)):
        if not path.is_file():
            raise UserError(
                f"{folder} is not a finished model of `pretrain`: it has no {path.name}; make it: "
                f"snakemake --cores all {path}"
            )
    described = recorded.description(folder, ("model.name", "model.pretrain"))
    found = RecordedModel(folder, described, recorded.provenance(folder), [])
    if (named := found.own["name"]) != folder.name:
        raise UserError(f"{folder} has the model {named}, according to its config.yaml; rename the folder")
    recorded.check_whole(found, f"snakemake --cores all -f {layout.model_weights(folder.name)}")
    return found
