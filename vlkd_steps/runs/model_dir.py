"""The folder of a pre-trained model: what its bytes depend on, and how trained files become declared outputs.

As for a run (`runs.run_dir`): Snakemake deletes declared outputs on every rerun, so all files of a trained model are
also in ``work/<content key>/``, and each call of `publish` copies them to the declared paths. Never imports torch.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from vlkd_steps.core import artifacts, checksums, components, files, given_files, layout, package_assets
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.fingerprint import fingerprint


@dataclass(frozen=True)
class ModelDir:
    """One pre-trained model.

    Attributes:
        config: the model's configuration, as a `pretrain` job has it.
        made_of: what else its bytes depend on: the sha256 of each of `inputs`, and the fingerprint of the training
            code.
    """

    config: dict[str, Any]
    made_of: dict[str, str]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The model of a `pretrain` job.

        Raises:
            UserError: models of this kind cannot be pre-trained, or an input is missing or was changed after it was
                made.
        """
        try:
            code = fingerprint(
                components.module_name("pretraining", config["kind"]),
                *components.vocabulary_code(config.get("vocabulary")),
            )
        except UserError as error:
            raise UserError(f"model {config['name']}: {error}; correct the kind in its conf file") from None
        package = package_assets.clip(str(config.get("model", "")))
        return cls(dict(config), {**read(config), **({"package": package} if package else {}), "code": code})

    @property
    def key(self) -> str:
        """The content key: equal keys, equal bytes on one type of machine."""
        return files.digest({"config": self.config, **self.made_of})

    @property
    def folder(self) -> Path:
        return layout.model(self.config["name"])

    @property
    def kept(self) -> Path:
        return self.folder / "work" / self.key[:16]

    def finished(self) -> bool:
        """Whether every file that training wrote exists with its listed bytes."""
        listed = self._listed()
        return bool(listed) and all(path.is_file() and checksums.of(path) == listed[path] for path in listed)

    def publish(self) -> None:
        """Copy the trained files to the declared paths, write config.yaml, and list all files."""
        listed, config = self._listed(), layout.model_config(self.config["name"])
        copy(listed, self.folder)
        content = {"model": self.config, "content_key": self.key, "made_of": self.made_of}
        plain = json.loads(files.canonical(content))
        files.write_text(config, yaml.safe_dump(plain, sort_keys=True, allow_unicode=True))
        known = {self.folder / path.name: sha256 for path, sha256 in listed.items()} | {config: checksums.of(config)}
        checksums.record(layout.model_checksums(self.config["name"]), known)

    def _listed(self) -> dict[Path, str]:
        listing = listing_of(self.kept)
        return checksums.read(listing, "delete it; the model is then trained again") if listing.is_file() else {}


def inputs(config: Mapping[str, Any]) -> dict[str, Path]:
    """The files that a `pretrain` job reads, by the key that names them: corpus, initial weights, vocabulary."""
    making, words = config["pretrain"], str(config.get("vocabulary") or "")
    found = {"pretrain.corpus": layout.instances(making["corpus"])} if making.get("corpus") else {}
    found |= {"pretrain.init": initial(making["init"])} if making.get("init") else {}
    found |= {"vocabulary": Path(words)} if words.endswith(".txt") else {}
    return found | {path.as_posix(): path for path in given_files.named(config) if path not in found.values()}


def read(config: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of each of `inputs`; those that a step made are first compared with their lists.

    Raises:
        UserError: one is missing, or was changed after it was made.
    """
    found = inputs(config)
    for key, path in found.items():
        if not path.is_file():
            remedy = "give a text file of words" if key == "vocabulary" else f"make it: snakemake --cores 1 {path}"
            raise UserError(f"model {config['name']}: {key}: {path} is missing; {remedy}")
    if "pretrain.corpus" in found:
        artifacts.instances(config["pretrain"]["corpus"])
    if "pretrain.init" in found:
        artifacts.weights(found["pretrain.init"])
    return {key: checksums.of(path) for key, path in found.items()}


def initial(teacher: str) -> Path:
    """The weights of a teacher to start from: shipped with this package, or made by `pretrain`."""
    shipped = package_assets.ASSETS / f"{teacher}.safetensors"
    return shipped if shipped.is_file() else layout.model_weights(teacher)


def times(folder: Path) -> dict[Path, int]:
    """The files directly in a folder, with their modification times."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*") if path.is_file()}


def keep(folder: Path, before: Mapping[Path, int], kept: Path) -> None:
    """Copy the files of a model's folder that changed since `before` (`times`) to `kept`, and list them."""
    written = {path for path, time in times(folder).items() if before.get(path) != time}
    checksums.write(listing_of(kept), copy(written - {layout.provenance(folder)}, kept))


def listing_of(folder: Path) -> Path:
    return folder / layout.MODEL_CHECKSUMS


def copy(paths: Iterable[Path], target: Path) -> list[Path]:
    """Give files a second name in a folder (`files.link`); the new names."""
    copies = {target / path.name: path for path in sorted(paths)}
    for new, path in copies.items():
        files.link(path, new)
    return list(copies)
