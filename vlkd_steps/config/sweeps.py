"""Sweeps: ``sweep: {lambda0: [1, 3, 10]}`` under a variant stands for its members, one for each value.

They are expanded here, in the preset as its files say it and in the overrides, before either is validated: from then on
a member is a variant like any other. A list that names the swept variant names all of its members.

``sweep: null`` ends one that an earlier file began. A preset's sweep replaces what earlier files say of its keys, and
what its own file says more narrowly (``by_task``, ``by_shot``) still wins. One that is an override is set as overrides
are, after all that the preset says (`precedence`).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlkd_steps.config import member_names
from vlkd_steps.config.conf_files import merge
from vlkd_steps.config.models.composition import Member
from vlkd_steps.config.models.method import declaration
from vlkd_steps.config.models.recipe import PartialRecipe
from vlkd_steps.config.validation import shown
from vlkd_steps.core import components
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError

MOST = 300  # members of a variant

Path = tuple[str, ...]
Section = tuple[str, dict[str, Any]]
"""Overrides by dotted key (`overrides.by_key`), and what messages call them."""


@dataclass(frozen=True, eq=False)
class Key:
    """A key of a sweep.

    Attributes:
        path: of the variant, such as ``training, learning_rate``.
        at: the dotted key of the composition, as written.
        section: the number of the section of overrides that says it; -1: the preset.
    """

    path: Path
    at: str
    section: int
    values: list[Any]

    @property
    def short(self) -> str:
        return ".".join(part for part in self.path if part != "training")


@dataclass
class Sweeps:
    """What was swept.

    Attributes:
        of: by swept variant, the names of its members.
        members: by name.
        after_highlight: the variants that only overrides sweep, or a file that extends the one with the highlight.
        raw: the preset with the members in place of the variants.
        sections: the overrides, likewise.
    """

    raw: dict[str, Any]
    sections: list[Section]
    of: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    after_highlight: set[str] = field(default_factory=set)

    def named(self, name: Any, where: str) -> list[str]:
        """The variants that a name of a list means: all members of a swept one, those that a label fits, or itself.

        Raises:
            UserError: a label that fits none.
        """
        if not isinstance(name, str):
            return [name]  # left to validation
        if name in self.of or "[" not in name:
            return self.of.get(name, [name])
        fitting = [each for each, of in self.members.items() if name in member_names.labels(of.variant, of.swept)]
        if not fitting:
            known = [each for of in self.members.values() for each in member_names.labels(of.variant, of.swept)]
            near = nearest(name, known, "") if known else "no variant of this experiment has a sweep"
            raise UserError(f"{where} names {name!r}, which does not exist; {near}")
        return fitting

    def one(self, name: Any, where: str) -> Any:
        """The one variant that a name means.

        Raises:
            UserError: it means several, or is a label that fits none.
        """
        found = self.named(name, where)
        if not isinstance(name, str):
            return name
        if len(found) > 1 or name in self.of:
            raise UserError(f"{where} {member_names.not_one(name, [self.members[each].label for each in found])}")
        return found[0]

    def several(self, names: Any, where: str) -> Any:
        """As `named`, of a list; anything else is left to validation."""
        if not isinstance(names, list | tuple):
            return names
        return [each for name in names for each in self.named(name, where)]


def expanded(
    raw: Mapping[str, Any], sections: Sequence[Section], chain: Sequence[Mapping[str, Any]], said: Callable[[str], str]
) -> Sweeps:
    """A preset and its overrides with every sweep expanded.

    Args:
        raw: the preset as its files say it, merged.
        sections: its overrides and those of params.yaml.
        chain: the contents of its files, the most general first.
        said: file and key of a dotted key of the preset, as messages begin.

    Raises:
        UserError: a sweep that cannot be, or a swept variant where one is needed.
    """
    found = Sweeps(dict(raw), [(called, dict(given)) for called, given in sections])
    variants = raw.get("variants")
    if not isinstance(variants, Mapping):
        return found
    found.raw["variants"] = {}
    for name, variant in variants.items():
        keys = _keys(str(name), variant, sections, said) if isinstance(variant, Mapping) else []
        if not keys:
            plain = isinstance(variant, Mapping) and "sweep" in variant
            found.raw["variants"][name] = _without(variant, ["sweep"]) if plain else variant
            for _, given in found.sections:
                if given.get(f"variants.{name}.sweep", name) is None:
                    del given[f"variants.{name}.sweep"]
            continue
        _check_set_once(str(name), keys, sections, chain, said)
        others = [*(str(other) for other in variants if other != name), *found.members]
        _expand(found, str(name), _emptied(variant, str(name), keys, chain), keys, others)
        files = [_last(chain, tuple(key.at.split("."))) for key in keys if key.section < 0]
        if all(_last(chain, ("highlight",)) < file for file in files):
            found.after_highlight.add(str(name))
    _rename(found, said)
    return found


def _keys(name: str, variant: Mapping[str, Any], sections: Sequence[Section], said: Callable[[str], str]) -> list[Key]:
    """The keys of a variant's sweep; a section's values replace those before it."""
    at = f"variants.{name}.sweep"
    given = [(-1, said(at), variant["sweep"])] if "sweep" in variant else []
    given += [(n, f"{called}: {at}", values[at]) for n, (called, values) in enumerate(sections) if at in values]
    found: dict[Path, Key] = {}
    method = _method(name, variant, sections)
    has_method = method in components.names("method")
    allowed = _allowed(method if has_method else "") if given else {}
    for section, where, spec in given:
        if spec is None:  # ends a sweep that an earlier file began
            found.clear()
            continue
        if not isinstance(spec, Mapping) or not spec:
            raise UserError(f"{where} is {shown(spec)}; write a mapping of keys to lists, such as {{lambda0: [1, 3]}}")
        seen: dict[Path, str] = {}
        for dotted, values in _leaves(spec):
            if dotted not in allowed and has_method:
                plain = nearest(dotted, [key for key in allowed if "." not in key])
                raise UserError(
                    f"{where}.{dotted} is {shown(values)}; variants.{name} has no such setting, and a recipe no such "
                    f"key; {nearest(dotted, allowed, plain)}"
                )
            path = allowed.get(dotted) or tuple(dotted.split("."))  # of an unknown method, which is refused later
            if path in seen:
                raise UserError(f"{where} names one key twice, as {seen[path]} and {dotted}; keep one of them")
            seen[path] = dotted
            _check_values(f"{where}.{dotted}", values)
            found[path] = Key(path, f"{at}.{dotted}", section, values)
    count = math.prod(len(key.values) for key in found.values())
    if count > MOST:
        raise UserError(f"{given[-1][1]} makes {count} variants; at most {MOST} are allowed: name fewer values")
    return list(found.values())


def _leaves(spec: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every list with its dotted key; nested and dotted keys are the same."""
    for key, value in spec.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _method(name: str, variant: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The method of a variant; a text that is none where it cannot be one."""
    method = variant.get("method")
    for _, given in sections:
        method = given.get(f"variants.{name}.method", method)
    return str(method)


def _allowed(method: str) -> dict[str, Path]:
    """By how it may be written, the path of every key that can be swept."""
    settings = [key for key in declaration(method).settings.model_fields if key != "name"] if method else []
    own: dict[str, Path] = {key: ("training", key) for key in PartialRecipe.model_fields}
    own |= {f"training.{key}": path for key, path in own.items()} | {key: (key,) for key in settings}
    parts = {
        f"by_task.{task}.{key}": ("by_task", task, *path)
        for task in components.names("task")
        for key, path in own.items()
    }
    return own | parts


def _check_values(where: str, values: Any) -> None:
    if not isinstance(values, list) or not values:
        example = "[1, 3]" if isinstance(values, list) else f"[{shown(values)}, ...]"
        raise UserError(f"{where} is {shown(values)}; write a list of values, such as {example}")
    texts = [member_names.text(_number(value)) for value in values]
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise UserError(f"{where} is {shown(values)}; {twice[0]} appears twice: name it once")


def _number(value: Any) -> Any:
    """A quoted number is that number, as it is where the value is used."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _check_set_once(
    name: str,
    keys: Sequence[Key],
    sections: Sequence[Section],
    chain: Sequence[Mapping[str, Any]],
    said: Callable[[str], str],
) -> None:
    """Refuse a value for all members of a key that is swept before it, or beside it."""
    for key in keys:
        dotted = f"variants.{name}.{'.'.join(key.path)}"
        sweeps = f"; {key.at} gives it several values: delete one of the two"
        path = ("variants", name, *key.path)
        if key.section < 0 and _last(chain, path) >= _last(chain, tuple(key.at.split("."))):
            raise UserError(f"{said(dotted)} is {shown(_at(chain[_last(chain, path)], path))}{sweeps}")
        for number, (called, given) in enumerate(sections):
            first, *rest = key.path
            value = _at({first: given.get(f"variants.{name}.{first}")}, (first, *rest))
            if number >= key.section and value is not None:
                raise UserError(f"{called}: {dotted} is {shown(value)}{sweeps}")


def _at(tree: Any, path: Sequence[str]) -> Any:
    for part in path:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _last(chain: Sequence[Mapping[str, Any]], path: Path) -> int:
    """The number of the last file that says a key; a dotted key of a sweep is looked for as far as it is nested."""
    for number in reversed(range(len(chain))):
        tree: Any = chain[number]
        for depth, part in enumerate(path):
            if isinstance(tree, Mapping) and ".".join(map(str, path[depth:])) in tree:
                return number
            tree = tree.get(part) if isinstance(tree, Mapping) else None
    return -1


def _emptied(variant: Any, name: str, keys: Sequence[Key], chain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A variant without its sweep, and without what earlier files than the sweep's say of its keys."""
    found = {key: value for key, value in variant.items() if key != "sweep"}
    for key in (each for each in keys if each.section < 0):
        swept = _last(chain, tuple(key.at.split(".")))
        whole, plain = (key.path[:2], key.path[2:]) if key.path[0] == "by_task" else ((), key.path)
        for path in [(*part, *plain) for part in _parts(found, whole)]:
            if _last(chain, ("variants", name, *path)) < swept:
                found = _without(found, path)
    return found


def _parts(variant: Mapping[str, Any], whole: Path) -> Iterator[Path]:
    """A part of a variant and the narrower ones in it, for a task or a shot."""
    yield whole
    part = _at(variant, whole)
    for kind in ("by_task", "by_shot"):
        for name in part[kind] if isinstance(part, Mapping) and isinstance(part.get(kind), Mapping) else ():
            yield from _parts(variant, (*whole, kind, name))


def _without(tree: Any, path: Sequence[str]) -> Any:
    if not isinstance(tree, Mapping):
        return tree
    if len(path) == 1:
        return {key: value for key, value in tree.items() if key != path[0]}
    return {key: _without(value, path[1:]) if key == path[0] else value for key, value in tree.items()}


def _expand(found: Sweeps, name: str, variant: dict[str, Any], keys: Sequence[Key], others: Sequence[str]) -> None:
    """Put a swept variant's members in its place."""
    crossed = [dict(zip(keys, values, strict=True)) for values in itertools.product(*(key.values for key in keys))]
    swept = [{key.short: value for key, value in chosen.items()} for chosen in crossed]
    names = member_names.names(name, swept, others)
    found.of[name] = names
    for member, values, chosen in zip(names, swept, crossed, strict=True):
        written = {".".join(key.path): key.at for key in keys}
        found.members[member] = Member(name, values, written, member_names.label(name, values))
        own = _nested({key.path: value for key, value in chosen.items() if key.section < 0})
        wrong = {part: variant[part] for part in own if part in ("training", "by_task") and _no_mapping(variant, part)}
        found.raw["variants"][member] = merge(variant, own) | wrong
    for number, (called, given) in enumerate(found.sections):
        prefix = f"variants.{name}."
        of_all = {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
        of_all.pop("sweep", None)
        kept = {key: value for key, value in given.items() if not key.startswith(prefix)}
        for member, chosen in zip(names, crossed, strict=True):
            own = _nested({key.path: value for key, value in chosen.items() if key.section == number})
            kept |= {f"variants.{member}.{key}": value for key, value in merge(of_all, own).items()}
        found.sections[number] = called, kept


def _no_mapping(variant: Mapping[str, Any], part: str) -> bool:
    """Whether a part holds what validation has to refuse."""
    return variant.get(part) is not None and not isinstance(variant[part], Mapping)


def _nested(values: Mapping[Path, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, value in values.items():
        for part in reversed(path):
            value = {part: value}
        found = merge(found, value)
    return found


def _rename(found: Sweeps, said: Callable[[str], str]) -> None:
    """Name members wherever the preset or an override names a swept variant."""
    raw = found.raw
    blocks = raw.get("grids")
    numbered = enumerate(blocks) if isinstance(blocks, list) else ()
    lists = [("grid", raw.get("grid")), *((f"grids.{number}", block) for number, block in numbered)]
    renamed = [
        block | {"variant": found.several(block["variant"], said(f"{key}.variant"))}
        if isinstance(block, dict) and "variant" in block
        else block
        for key, block in lists
    ]
    raw |= {"grid": renamed[0]} if "grid" in raw else {}
    raw |= {"grids": renamed[1:]} if isinstance(blocks, list) else {}
    for key in ("reference", "highlight"):
        _rename_one(found, key, said)
    for name, variant in raw["variants"].items():
        raw["variants"][name] = _started(found, variant, name, said(f"variants.{name}"))
    for called, given in found.sections:
        for dotted, value in given.items():
            group, _, rest = dotted.partition(".")
            name, _, key = rest.partition(".")
            if group == "variants" and key in ("init", "by_task"):
                given[dotted] = _started(found, {key: value}, name, f"{called}: variants.{name}")[key]


def _rename_one(found: Sweeps, key: str, said: Callable[[str], str]) -> None:
    """Name the member that `key` means; only the last that says it counts.

    A highlight that is swept by an override, or by a preset that extends the one with the highlight, is none: the
    report leads with the largest gain.
    """
    given = [(said(key), found.raw), *((f"{called}: {key}", section) for called, section in found.sections)]
    where, last = [(where, tree) for where, tree in given if tree.get(key) is not None or tree is found.raw][-1]
    if last.get(key) is None:
        return
    if key == "highlight" and last is found.raw and str(last[key]) in found.after_highlight:
        last[key] = None
        return
    last[key] = found.raw[key] = found.one(last[key], where)


def _started(found: Sweeps, variant: Any, name: str, where: str) -> Any:
    """A variant with the one that it starts from by ``init``; of a member, its own variant means itself."""
    if not isinstance(variant, Mapping):
        return variant
    changed = dict(variant)
    if isinstance(init := variant.get("init"), str):
        own = name in found.members and found.members[name].variant == init
        changed["init"] = name if own else found.one(init, f"{where}.init")
    if isinstance(parts := variant.get("by_task"), Mapping):
        changed["by_task"] = {
            task: _started(found, part, name, f"{where}.by_task.{task}") for task, part in parts.items()
        }
    return changed
