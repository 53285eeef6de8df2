"""Validate every section of a composition: data sets, sources, models, methods, variants, extra evaluations."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlkd_steps.config import precedence
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.base import Model
from vlkd_steps.config.models.composition import Composition, Member
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.extra_evals import MEASURES, ItemsOfASet
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.preset import Grid, Params, Preset, Training, Variant
from vlkd_steps.config.models.recipe import PartialRecipe
from vlkd_steps.config.validation import shown, validated
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError

GROUPS = ("dataset", "source", "teacher", "student", "method")
FIXED = {  # by kind of part, the keys that are read from the whole alone
    "by_task": ("name", "kind", "recipe", "regions", "vocabulary", "pretrain", "by_task"),
    "by_dataset": ("name", "kind", "splits", "pretrain", "by_dataset"),
}
PRESET = ("grid", "grids", "reference", "highlight", "variants", "training", "extra_evals", "claims")


@dataclass(frozen=True)
class Origin:
    """Finds the file that sets a dotted key of the composition.

    Attributes:
        overridden: dotted keys of overrides and of the grid in params.yaml, and the name in messages of the section
            that contains each.
        swept: the variants that sweeps made, which are written as one.
    """

    conf: ConfFiles
    experiment: str
    overridden: Mapping[str, str]
    swept: Mapping[str, Member]

    def __call__(self, dotted: str) -> tuple[str, str]:
        """The file, and the key as written there."""
        for key, called in reversed(list(self.overridden.items())):
            if f"{dotted}.".startswith(f"{key}.") or (f"{key}.".startswith(f"{dotted}.") and dotted):
                at = max(key, dotted, key=len) if f"{dotted}.".startswith(f"{key}.") else dotted
                return called, self._written(at)
        dotted = self._written(dotted)
        groups, _, rest = dotted.partition(".")
        group = groups.removesuffix("s")
        if group in GROUPS and rest:
            name, _, key = rest.partition(".")
            if self.conf.path(group, name) is None:
                return dotted, key  # data/incoming/<name>, or nothing
            return self.conf.locate(group, name, key), key
        return self.conf.locate("experiment", self.experiment, dotted), dotted

    def _written(self, dotted: str) -> str:
        """The key of the swept variant, or of its sweep, that a key of a member comes from."""
        group, _, rest = dotted.partition(".")
        name, _, key = rest.partition(".")
        if group != "variants" or name not in self.swept:
            return dotted
        member = self.swept[name]
        for path, at in member.written.items():
            if f"{key}.".startswith(f"{path}."):
                return at + key.removeprefix(path)
        return f"variants.{member.variant}.{key}".removesuffix(".")

    def said(self, dotted: str) -> str:
        """File and key in one, as messages begin."""
        return ": ".join(self(dotted))

    def mistake(self, dotted: str, message: str) -> UserError:
        file, key = self(dotted)
        return UserError(f"{file}: {key} {message}")

    def one_of(self, dotted: str, value: Any, names: Collection[str], what: str) -> None:
        """Refuse a value that is none of these names."""
        if value not in names:
            near = nearest(str(value), names)
            raise self.mistake(dotted, f"is {shown(value)}; there is no such {what}; {near}")


def optional(raw: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted key of a section, its optional keys: overrides may set them even if no file does."""
    recipe = PartialRecipe.model_fields
    found: dict[str, Any] = {"training": Training.model_fields}
    for name in raw["datasets"]:
        found[f"datasets.{name}"] = Dataset.model_fields
    for group in ("source", "teacher", "student"):
        for name, conf in raw[f"{group}s"].items():
            if isinstance(conf, Mapping) and conf.get("kind") in kinds.names(group):
                found[f"{group}s.{name}"] = kinds.model(group, conf["kind"]).model_fields
    for name, variant in raw["variants"].items():
        if variant["method"] in raw["methods"]:
            found[f"variants.{name}"] = [*raw["methods"][variant["method"]], *precedence.OF_A_VARIANT]
        if isinstance(variant.get("training"), Mapping):
            found[f"variants.{name}.training"] = recipe
    return found


def checked(raw: Mapping[str, Any], origin: Origin, given: Params, blocks: Sequence[Grid]) -> Composition:
    """The composition, with every section validated; values as written, with 4e-3 as a number.

    Raises:
        UserError: invalid values; of one file, all of them.
    """
    preset = validated(Preset, {key: raw[key] for key in PRESET if key in raw}, "", origin)
    members: dict[str, Any] = {f"{group}s": _members(group, raw[f"{group}s"], origin) for group in GROUPS}
    extra = {
        trained_on: {
            name: _extra_eval(conf, f"extra_evals.{trained_on}.{name}", origin)
            for name, conf in (of_one or {}).items()
            if conf is not None  # null leaves out an inherited one
        }
        for trained_on, of_one in (preset.extra_evals or {}).items()
    }
    c = Composition(
        origin.experiment, given, preset, preset.grid, blocks, **members, extra_evals=extra, overrides=raw["overrides"]
    )
    for name in c.variants:
        _check_settings(c, name, origin)
    for trained_on in extra:
        one_of(trained_on, origin.conf.options("dataset"), f"{origin(f'extra_evals.{trained_on}')[0]}: extra_evals")
    _check_folders(c)
    return c


def _members(group: str, raw: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    return {name: member(group, name, conf, origin) for name, conf in raw.items()}


def member(group: str, name: str, conf: Any, origin: Origin) -> Model:
    """One data set, source, teacher, student or method.

    Raises:
        UserError: an invalid value.
    """
    where = f"{group}s.{name}"
    if not isinstance(conf, Mapping):
        raise origin.mistake(where, "is not a mapping; write its keys")
    if conf.get("name") != name:
        file = origin.conf.chain(group, name)[-1]
        is_what = f"is {shown(file.content['name'])}" if "name" in file.content else "is missing"
        raise UserError(f"{file.called}: name {is_what}; write name: {name}, as its file is called")
    model = _model(group, conf, origin, where)
    found = validated(model, conf, where, origin)
    _check_parts(group, model, conf, where, origin)
    return found


def _model(group: str, conf: Mapping[str, Any], origin: Origin, where: str) -> type[Model]:
    if group == "dataset":
        return Dataset
    if group == "method":
        return declaration(conf["name"]).settings
    if "kind" not in conf:
        raise origin.mistake(where + ".kind", f"is missing; write one of {', '.join(kinds.names(group))}")
    origin.one_of(f"{where}.kind", conf["kind"], kinds.names(group), f"kind of {group}")
    return kinds.model(group, conf["kind"])


def _check_parts(group: str, model: type[Model], conf: Mapping[str, Any], where: str, origin: Origin) -> None:
    """Check a section's parts by reader, by data set or by task."""
    if group == "dataset":
        origin.one_of(f"{where}.reader", conf["reader"], kinds.names("reader"), "reader")
        for split, paths in conf["files"].items():
            validated(kinds.model("reader", conf["reader"]), paths, f"{where}.files.{split}", origin)
    if group == "source" and conf.get("convert"):
        origin.one_of(f"{where}.convert", conf["convert"], components.names("reader"), "reader")
    by = {"teacher": "by_dataset", "student": "by_task"}.get(group, "")
    for name, part in (conf.get(by) or {}).items():
        if group == "teacher":
            one_of(name, origin.conf.options("dataset"), f"{origin(f'{where}.{by}.{name}')[0]}: {by}")
        if fixed := [key for key in FIXED[by] if isinstance(part, Mapping) and key in part]:
            raise origin.mistake(f"{where}.{by}.{name}.{fixed[0]}", "cannot differ; delete it")
        whole = {key: value for key, value in conf.items() if key != by} | dict(part)
        validated(model, whole, f"{where}.{by}.{name}", origin)


def _check_settings(c: Composition, name: str, origin: Origin) -> None:
    """Check a variant's settings for every task and shot: only those of its method are allowed."""
    settings = [key for key in declaration(c.variants[name].method).settings.model_fields if key != "name"]
    for task, shot, section, part in _parts(f"variants.{name}", c.variants[name]):
        known = [*settings, *type(part).model_fields]
        for key in part.model_fields_set:
            if key not in known:
                raise UserError(
                    f"{origin(f'{section}.{key}')[0]}: {section} has unknown key {key!r}; {nearest(key, known)}"
                )
        precedence.settings(c, name, task, shot, origin)


def _parts(where: str, variant: Variant) -> Iterator[tuple[str | None, str | None, str, Model]]:
    """A variant and its parts: the task and shot of each, its dotted key, and what is said there."""
    of_tasks = {task: (f"{where}.by_task.{task}", part) for task, part in (variant.by_task or {}).items() if part}
    for task, (section, whole) in ({None: (where, variant)} | of_tasks).items():
        yield task, None, section, whole
        for shot, part in (whole.by_shot or {}).items():
            if part:
                yield task, shot, f"{section}.by_shot.{shot}", part


def _extra_eval(conf: Any, where: str, origin: Origin) -> Any:
    if not isinstance(conf, Mapping) or "measure" not in conf:
        return validated(ItemsOfASet, conf, where, origin)
    origin.one_of(f"{where}.measure", conf["measure"], list(MEASURES), "measure")
    return validated(MEASURES[conf["measure"]], conf, where, origin)


def _check_folders(c: Composition) -> None:
    """No two members of a group, and no two pre-trained models, may share a folder, on any file system."""
    groups = {f"{group}s": list(getattr(c, f"{group}s")) for group in GROUPS} | {"variants": list(c.variants)}
    groups["models"] = [conf.name for conf in (*c.teachers.values(), *c.students.values()) if conf.pretraining]
    for name, extra in c.extra_evals.items():
        own = c.datasets[name].evaluation_sets if name in c.datasets else ()
        groups[f"evaluation sets of {name}"] = [*extra, *(each for each in own if each not in extra)]
    for group, names in groups.items():
        seen: dict[str, str] = {}
        for name in names:
            if (other := seen.setdefault(name.casefold(), name)) != name or names.count(name) > 1:
                raise UserError(
                    f"experiment {c.experiment}: {group} {other!r} and {name!r} would share a folder; rename one"
                )
