"""The members of groups that an experiment reads: those that its grid names, and those that these name in turn."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlkd_steps.config import grid_blocks, hydra_composed, members, overrides
from vlkd_steps.config.models.preset import Preset
from vlkd_steps.core import components, layout
from vlkd_steps.core.did_you_mean import nearest, one_of
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import local


def composed(
    origin: members.Origin,
    grid: Mapping[str, Sequence[Any]],
    preset: Preset,
    raw: Mapping[str, Any],
    given: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Compose the preset with every group member that the grid's cells read, and what those read in turn.

    Args:
        given: the overrides, of the preset and of params.yaml, which may name other members than the files do.

    Raises:
        UserError: a name that no member has.
    """
    _check_names(origin, grid, preset)
    tree, dropped_in = _gathered(origin, _of_grid(origin, grid, preset), raw, given)
    found = [(group, name) for group in sorted(members.GROUPS) for name in sorted(tree[f"{group}s"])]
    with_files = [(group, name) for group, name in found if group != "source" or name not in dropped_in]
    for group, name in with_files:
        _check_name(origin, group, name)
    chosen = [f"+{group}@{group}s.{name}='{name}'" for group, name in with_files]
    empty: dict[str, Any] = {f"{group}s": {} for group in members.GROUPS}
    all_of_them = empty | hydra_composed.composed(origin.conf, origin.experiment, chosen)
    return all_of_them | {"sources": all_of_them["sources"] | dropped_in}


def _check_name(origin: members.Origin, group: str, name: str) -> None:
    """Refuse a file's name that Hydra reads as something else where it is a key."""
    if re.fullmatch("_[a-z]+_", name) or not re.fullmatch("[A-Za-z_].*|0|[1-9](_?[0-9])*", name):
        called = origin.conf.chain(group, name)[-1].called
        raise UserError(
            f"{called}: a {group} cannot be called {name!r}; rename the file, and its name, to begin with a letter"
        )


def _check_names(origin: members.Origin, grid: Mapping[str, Sequence[Any]], preset: Preset) -> None:
    """The grid's variants, and every variant's method and teachers."""
    conf = origin.conf
    for variant in grid["variant"]:
        one_of(variant, preset.variants, origin.said(grid_blocks.key_of(origin, preset, "variant", variant)))
    for name, chosen in preset.variants.items():
        if chosen.method in components.brought("method") and chosen.method not in conf.options("method"):
            code = components.module_name("method", chosen.method)
            file = f"conf/method/{chosen.method}.yaml"
            problem = f"is {chosen.method!r}, which has code ({code}) and no file; write {file} with its settings"
            raise origin.mistake(f"variants.{name}.method", problem)
        one_of(chosen.method, conf.options("method"), origin.said(f"variants.{name}.method"))
        if chosen.method not in components.names("method"):
            near = nearest(chosen.method, components.names("method"))
            problem = f"is {chosen.method!r}, which has a file of settings and no code; {near}, or name its plugin"
            raise origin.mistake(f"variants.{name}.method", problem)
        for teacher in chosen.teachers:
            one_of(teacher, conf.options("teacher"), origin.said(f"variants.{name}.teacher"))


def _of_grid(origin: members.Origin, grid: Mapping[str, Sequence[Any]], preset: Preset) -> dict[tuple[str, str], str]:
    """What the grid and its variants name: group and name, and the dotted key that names it."""
    wanted = {("dataset", name): key for name, key in preset.extra_datasets(grid["dataset"]).items()}
    for group in ("dataset", "student"):
        wanted |= {(group, name): grid_blocks.key_of(origin, preset, group, name) for name in grid[group]}
    wanted |= {("method", chosen.method): f"variants.{name}.method" for name, chosen in preset.variants.items()}
    for variant in grid["variant"]:
        wanted |= {("teacher", name): f"variants.{variant}.teacher" for name in preset.variants[variant].teachers}
    return wanted


def _gathered(
    origin: members.Origin,
    wanted: Mapping[tuple[str, str], str],
    raw: Mapping[str, Any],
    given: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those members and what they name in turn: the preset with all of them as their files and the overrides say them,
    and the sources that have no file, ``data/incoming/<name>``."""
    conf = origin.conf
    tree: dict[str, Any] = {**raw, **{f"{group}s": {} for group in members.GROUPS}}
    dropped_in = {}
    while wanted:
        for (group, name), key in sorted(wanted.items()):
            if group == "source" and name not in conf.options("source"):
                _check_dropped_in(name, conf.options("source"), origin.said(key))
                tree["sources"][name] = dropped_in[name] = local.incoming(name)
                continue
            one_of(name, conf.options(group), origin.said(key))
            tree[f"{group}s"][name] = _overridden(f"{group}s.{name}.", conf.merged(group, name), given)
        wanted = {(group, name): key for group, name, key in _named(tree) if name not in tree[f"{group}s"]}
    return tree, dropped_in


def _overridden(prefix: str, member: dict[str, Any], given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A member with the overrides of its keys, which begin with `prefix`."""
    for section in given:
        for dotted, value in section.items():
            if dotted.startswith(prefix):
                key = dotted.removeprefix(prefix)
                member = {**member, key: overrides.merged(member.get(key), value)}
    return member


def choose(given: Mapping[str, Any], preset: dict[str, Any]) -> None:
    """Another teacher or method of a variant, and another data set of an extra evaluation, have to be composed too."""
    if extra := overrides.tree({key: value for key, value in given.items() if key.startswith("extra_evals.")}):
        preset["extra_evals"] = overrides.merged(preset.get("extra_evals") or {}, extra["extra_evals"])
    for key, value in given.items():
        group, _, rest = key.partition(".")
        variant, _, setting = rest.partition(".")
        if group == "variants" and setting in ("teacher", "method") and variant in preset["variants"]:
            chosen = preset["variants"][variant]
            setting_value = overrides.merged(chosen.get(setting), value)
            preset["variants"] = {**preset["variants"], variant: {**chosen, setting: setting_value}}


def _check_dropped_in(name: str, known: Sequence[str], where: str) -> None:
    """A source without a conf file is a folder of the user's; one that is not there may be a misspelt name."""
    if not re.fullmatch(layout.NAME, name):
        raise UserError(
            f"{where} is {name!r}; write letters, digits and _: the name of a file in conf/source/, or of a folder in "
            f"{layout.INCOMING}"
        )
    near = nearest(name, known, "-")
    if near != "-" and not (layout.INCOMING / name).is_dir():
        raise UserError(
            f"{where} names {name!r}, which has neither a file conf/source/{name}.yaml nor a folder "
            f"{layout.INCOMING / name}; {near}"
        )


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The members that data sets, teachers and students name: group, name, and the dotted key that names it.

    A source that is no name is left to its data set's model, which refuses it: it may be a folder without a conf file.
    """
    named = [("datasets", key, "source") for key in ("source", "image_source")]
    for groups in ("teachers", "students"):
        named += [(groups, "pretrain.corpus", "dataset"), (groups, "pretrain.init", "teacher")]
        named += [(groups, "regions", "teacher")]
    for groups, dotted, group in named:
        for name, member in tree[groups].items():
            value: Any = member
            for part in dotted.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, str) and "${" in value:
                value = hydra_composed.selected(tree, f"{groups}.{name}.{dotted}")
            if isinstance(value, str) and value and (group != "source" or re.fullmatch(layout.NAME, value)):
                yield group, value, f"{groups}.{name}.{dotted}"
