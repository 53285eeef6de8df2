"""Validate every section of a composition: data sets, sources, models, methods, variants, extra evaluations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlkd_steps.config import precedence
from vlkd_steps.config.conf_files import ConfFiles
from vlkd_steps.config.models import kinds
from vlkd_steps.config.models.base import Model
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.extra_evals import MEASURES, ItemsOfASet
from vlkd_steps.config.models.method import Settings, declaration
from vlkd_steps.config.models.preset import Preset
from vlkd_steps.config.models.recipe import PartialRecipe
from vlkd_steps.config.validation import shown, validated
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError

GROUPS = ("dataset", "source", "teacher", "student", "method")
PRESET = ("grid", "reference", "highlight", "variants", "training", "extra_evals")


@dataclass(frozen=True)
class Origin:
    """Finds the file that sets a dotted key of the composition.

    Attributes:
        overridden: dotted keys of overrides and of the grid in params.yaml, and the name in messages of the section
            that contains each.
    """

    conf: ConfFiles
    experiment: str
    overridden: Mapping[str, str]

    def __call__(self, dotted: str) -> tuple[str, str]:
        """The file, and the key as written there."""
        for key, called in reversed(list(self.overridden.items())):
            if f"{dotted}.".startswith(f"{key}.") or (f"{key}.".startswith(f"{dotted}.") and dotted):
                return called, max(key, dotted, key=len) if f"{dotted}.".startswith(f"{key}.") else dotted
        groups, _, rest = dotted.partition(".")
        group = groups.removesuffix("s")
        if group in GROUPS and rest:
            name, _, key = rest.partition(".")
            if self.conf.path(group, name) is None:
                return dotted, key  # data/incoming/<name>, or nothing
            return self.conf.locate(group, name, key), key
        return self.conf.locate("experiment", self.experiment, dotted), dotted

    def mistake(self, dotted: str, message: str) -> UserError:
        file, key = self(dotted)
        return UserError(f"{file}: {key} {message}")


def optional(c: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted key of a section, its optional keys: overrides may set them even if no file does."""
    recipe = PartialRecipe.model_fields
    found: dict[str, Any] = {"training": recipe}
    for name in c["datasets"]:
        found[f"datasets.{name}"] = Dataset.model_fields
    for group in ("source", "teacher", "student"):
        for name, conf in c[f"{group}s"].items():
            if isinstance(conf, Mapping) and conf.get("kind") in kinds.names(group):
                found[f"{group}s.{name}"] = kinds.model(group, conf["kind"]).model_fields
    for name, variant in c["variants"].items():
        if variant["method"] in c["methods"]:
            found[f"variants.{name}"] = c["methods"][variant["method"]]
        if isinstance(variant.get("training"), Mapping):
            found[f"variants.{name}.training"] = recipe
    return found


def checked(c: dict[str, Any], origin: Origin) -> dict[str, Any]:
    """The composition with every section validated; values as written, with 4e-3 as a number.

    Raises:
        UserError: invalid values; of one file, all of them.
    """
    preset = {key: c[key] for key in PRESET if key in c}
    read = validated(Preset, preset, "", origin).written()
    found: dict[str, Any] = {**c, "variants": read["variants"], "training": read["training"]}
    for group in GROUPS:
        found[f"{group}s"] = {name: member(found, group, name, conf, origin) for name, conf in c[f"{group}s"].items()}
    for name in found["variants"]:
        _check_settings(found, name, origin)
    for trained_on, extra in (c.get("extra_evals") or {}).items():
        one_of(trained_on, origin.conf.options("dataset"), f"{origin(f'extra_evals.{trained_on}')[0]}: extra_evals")
        for name, conf in (extra or {}).items():
            _check_extra_eval(conf, f"extra_evals.{trained_on}.{name}", origin)
    _check_folders(found, origin)
    return found


def member(c: Mapping[str, Any], group: str, name: str, conf: Any, origin: Origin) -> dict[str, Any]:
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
    return found.written() if group != "method" else dict(conf)


def _model(group: str, conf: Mapping[str, Any], origin: Origin, where: str) -> type[Model]:
    if group == "dataset":
        return Dataset
    if group == "method":
        return declaration(conf["name"]).settings
    if "kind" not in conf:
        raise origin.mistake(where + ".kind", f"is missing; write one of {', '.join(kinds.names(group))}")
    if conf["kind"] not in kinds.names(group):
        near = nearest(str(conf["kind"]), kinds.names(group))
        raise origin.mistake(f"{where}.kind", f"is {shown(conf['kind'])}; there is no such kind of {group}; {near}")
    return kinds.model(group, conf["kind"])


def _check_parts(group: str, model: type[Model], conf: Mapping[str, Any], where: str, origin: Origin) -> None:
    """Check a section's parts by reader, by data set or by task."""
    if group == "dataset":
        if conf["reader"] not in kinds.names("reader"):
            near = nearest(str(conf["reader"]), kinds.names("reader"))
            raise origin.mistake(f"{where}.reader", f"is {conf['reader']!r}; there is no such reader; {near}")
        for split, paths in conf["files"].items():
            validated(kinds.model("reader", conf["reader"]), paths, f"{where}.files.{split}", origin)
    if group == "source" and conf.get("convert") and conf["convert"] not in components.names("reader"):
        near = nearest(str(conf["convert"]), components.names("reader"))
        raise origin.mistake(f"{where}.convert", f"is {conf['convert']!r}; there is no such reader; {near}")
    by = {"teacher": "by_dataset", "student": "by_task"}.get(group)
    for name, part in ((conf.get(by) or {}) if by else {}).items():
        if group == "teacher":
            one_of(name, origin.conf.options("dataset"), f"{origin(f'{where}.{by}.{name}')[0]}: {by}")
        if fixed := [key for key in ("name", "kind") if isinstance(part, Mapping) and key in part]:
            raise origin.mistake(f"{where}.{by}.{name}.{fixed[0]}", "cannot differ; delete it")
        whole = {key: value for key, value in conf.items() if key != by} | dict(part)
        validated(model, whole, f"{where}.{by}.{name}", origin)


def _check_settings(c: Mapping[str, Any], name: str, origin: Origin) -> None:
    """Check a variant's settings for every task: only those of its method are allowed."""
    variant, where = c["variants"][name], f"variants.{name}"
    model = declaration(variant["method"]).settings
    for task, part in [(None, variant), *(variant.get("by_task") or {}).items()]:
        section = f"{where}.by_task.{task}" if task else where
        known = [key for key in model.model_fields if key != "name"]
        known += [key for key in precedence.OF_A_VARIANT if not task or key in ("training", "init")]
        for key in part or {}:
            if key not in known:
                raise UserError(
                    f"{origin(f'{section}.{key}')[0]}: {section} has unknown key {key!r}; {nearest(key, known)}"
                )
        settings_of(c, name, task, origin)


def settings_of(c: Mapping[str, Any], variant: str, task: str | None, origin: Origin) -> Settings:
    """The settings of a variant's method for a task.

    Raises:
        UserError: an invalid value.
    """
    layers = precedence.settings_layers(c, variant, task)
    model = declaration(c["variants"][variant]["method"]).settings
    return validated(model, precedence.merged(layers), "", lambda key: origin(precedence.origin(layers, key)))


def _check_extra_eval(conf: Any, where: str, origin: Origin) -> None:
    measure = conf.get("measure") if isinstance(conf, Mapping) else None
    if isinstance(conf, Mapping) and "measure" in conf and str(measure) not in MEASURES:
        near = nearest(str(measure), MEASURES)
        raise origin.mistake(f"{where}.measure", f"is {shown(measure)}; there is no such measure; {near}")
    validated(MEASURES[measure] if measure else ItemsOfASet, conf, where, origin)


def _check_folders(c: Mapping[str, Any], origin: Origin) -> None:
    """No two members of a group, and no two pre-trained models, may share a folder, on any file system."""
    made = [name for group in ("teachers", "students") for name, conf in c[group].items() if conf.get("pretrain")]
    groups = {f"{group}s": list(c[f"{group}s"]) for group in GROUPS} | {"variants": list(c["variants"]), "models": made}
    for name, extra in (c.get("extra_evals") or {}).items():
        own = c["datasets"][name]["evaluation_sets"] if name in c["datasets"] else ()
        groups[f"evaluation sets of {name}"] = [*(extra or {}), *(each for each in own if each not in (extra or {}))]
    for group, names in groups.items():
        seen: dict[str, str] = {}
        for name in names:
            if (other := seen.setdefault(name.casefold(), name)) != name or names.count(name) > 1:
                raise UserError(
                    f"experiment {c['experiment']}: {group} {other!r} and {name!r} would share a folder; rename one"
                )
