"""The preset that `vlkd tune --write` writes: the swept one with its chosen values, and without its sweeps.

What params.yaml overrides, and the data sets and students that it names, are written too: the values were chosen under
them, and they do not apply to an experiment that params.yaml does not name.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from vlkd_steps.config import overrides, precedence
from vlkd_steps.config.models.base import Model
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.preset import Block, Grid
from vlkd_steps.evaluation.tuning import Choice

WHERE = ("dataset", "student")
"""The lists of a grid that say for what the values were chosen; those for one shot go for all."""


def text(c: Composition, choices: Sequence[Choice]) -> str:
    """The file. Its comments name the runs behind each value.

    Args:
        choices: by task, shot and swept variant (`tuning.by_task`).
    """
    lines = [
        "# @package _global_",
        f"# The best values by dev of the sweeps of {c.experiment} (vlkd tune {c.experiment}); all trials:",
        f"# results/{c.experiment}/summary.csv. Shots, seeds and evaluation sets are those of {c.experiment}: say here",
        "# what differs, and take seeds that no trial used.",
        f"defaults: [{c.experiment}, _self_]",
        "",
        f"grid: {_flow(_grid(c))}",
    ]
    if c.preset.grids:
        lines += ["grids:", *(f"  - {_flow(_block(c, block))}" for block in c.preset.grids if _was_run(c, block))]
    chosen = list(dict.fromkeys(choice.group[-1] for choice in choices))
    for key in ("reference", "highlight"):
        if (name := getattr(c.preset, key)) in c.members and c.members[name].variant in chosen:
            lines.append(f"{key}: {c.members[name].variant}")
    lines += ["", "variants:"]
    for variant in chosen:
        lines += [f"  {variant}:", "    sweep: null", "    by_task:"]
        of_variant = [each for each in choices if each.group[-1] == variant]
        for task in dict.fromkeys(choice.group[0] for choice in of_variant):
            lines += _task(c, task, [choice for choice in of_variant if choice.group[0] == task])
    if own := _overrides(c, chosen):
        lines += ["", "# Those of params.yaml, under which the values were chosen.", f"overrides: {_flow(own)}"]
    return "\n".join(lines) + "\n"


def lost(c: Composition, tuned: Composition, choices: Sequence[Choice]) -> str:
    """A chosen value that the preset, once composed, does not have: overrides that it inherits set it. Empty if none.

    Args:
        tuned: the preset that was written.
    """
    for choice in choices:
        task, shot, variant = choice.group
        chosen = _values(c, choice.trials[0].member, task, shot)
        of_recipe = chosen.pop("training", {})
        for cell in tuned.cells:
            if cell.variant != variant or tuned.datasets[cell.dataset].task != task:
                continue
            recipe = precedence.recipe(tuned, cell._replace(shot=shot)).written()
            settings = precedence.settings(tuned, variant, task, shot).written()
            for wanted, found in ((chosen, settings), (of_recipe, recipe)):
                if wrong := [key for key, value in wanted.items() if found.get(key) != value]:
                    key = wrong[0]
                    return f"{key} of {variant} for {task} at {shot} would be {found.get(key)} instead of {wanted[key]}"
    return ""


def _task(c: Composition, task: str, choices: Sequence[Choice]) -> Iterator[str]:
    """What was chosen for a task: the values of its one shot for all shots, those of several for each.

    The former are said at each shot too, where a file that this one extends may say others.
    """
    if len(choices) == 1:
        yield from _comments(c, choices[0], "      ")
        values = _values(c, choices[0].trials[0].member, *choices[0].group[:2])
        member = choices[0].trials[0].member
        shots = dict.fromkeys([*map(str, (*c.grid.shot, *c.preset.grid.shot)), *_said_shots(c, member, task)])
        yield f"      {task}: {_flow(values | {'by_shot': dict.fromkeys(shots, values)})}"
        return
    yield f"      {task}:"
    yield "        by_shot:"
    for choice in choices:
        yield from _comments(c, choice, "          ")
        yield f"          {choice.group[1]}: {_flow(_values(c, choice.trials[0].member, *choice.group[:2]))}"


def _said_shots(c: Composition, member: str, task: str) -> list[str]:
    """The shots that a variant says something of, for a task or for all."""
    variant = c.variants[member].written()
    parts = (variant, (variant.get("by_task") or {}).get(task) or {})
    return [str(shot) for part in parts for shot in part.get("by_shot") or {}]


def _comments(c: Composition, choice: Choice, indent: str) -> Iterator[str]:
    best, *others = choice.trials
    runs = f"mean of {len(best.run_keys)} runs: {' '.join(best.run_keys)}"
    yield f"{indent}# {choice.metric} on dev {best.mean:.2f}, {runs}"
    if others:
        yield f"{indent}# second: {c.label(others[0].member)} with {others[0].mean:.2f}"


def _values(c: Composition, member: str, task: str, shot: str) -> dict[str, Any]:
    """What the runs of a member had of each swept key, as `by_task` says it.

    Those that other variants of its method sweep are said too: it may be like one of them, whose choice is not its own.
    """
    cell = next(
        each
        for each in c.cells
        if (each.variant, each.shot) == (member, shot) and c.datasets[each.dataset].task == task
    )
    found: dict[str, Any] = {}
    method = c.variants[member].method
    of_method = [each for name, each in c.members.items() if c.variants[name].method == method]
    for path in dict.fromkeys(path for each in (c.members[member], *of_method) for path in each.written):
        first, *rest = path.split(".")
        if first == "by_task":
            if rest[0] != task:
                continue
            rest = rest[1:]
        else:
            rest = [first, *rest]
        if rest[0] == "training":
            found.setdefault("training", {})[rest[1]] = _value(precedence.recipe(c, cell), rest[1])
        else:
            found[rest[0]] = _value(precedence.settings(c, member, task, shot), rest[0])
    return found


def _value(of: Model, key: str) -> Any:
    """A value as YAML has it, also one that no file says."""
    return of.model_dump(mode="json", by_alias=True)[key]


def _crossed(c: Composition) -> list[str]:
    """The variants that were run, where a preset without blocks was given others by params.yaml."""
    return [] if c.preset.grids else _variants(c, c.grid)


def _overrides(c: Composition, chosen: Sequence[str]) -> dict[str, Any]:
    """Those of params.yaml by dotted key, without its sweeps; a member of a variant that was chosen is the variant."""
    if c.experiment != c.params.experiment:
        return {}
    given = overrides.by_key(c.params.overrides, "overrides")
    found = {key: value for key, value in given.items() if not (key.startswith("variants.") and key.endswith(".sweep"))}
    for key in found.keys() & {"reference", "highlight"}:
        member = c.members.get(getattr(c.preset, key) or "")
        if member and member.variant in chosen:
            found[key] = member.variant
    return found


def _grid(c: Composition) -> dict[str, list[str]]:
    """The variants, and the data sets and students where params.yaml chose them."""
    found = {"variant": list(dict.fromkeys([*_variants(c, c.preset.grid), *_crossed(c)]))}
    for key in WHERE:
        said = list(getattr(c.preset.grid, key))
        names = _run(c, key, said) if c.preset.grids else [*_run(c, key, said), *_beside(c, key, said)]
        if names and names != said:
            found[key] = names
    return found


def _run(c: Composition, key: str, names: Sequence[str]) -> list[str]:
    """Those of a list of the preset that were run; all of them where it has claims, which may be about any."""
    claimed = any((c.preset.claims or {}).values())
    return [name for name in names if claimed or name in getattr(c.grid, key)]


def _beside(c: Composition, key: str, names: Sequence[str]) -> list[str]:
    """What was run that a list of the preset lacks."""
    return [name for name in getattr(c.grid, key) if name not in names]


def _block(c: Composition, block: Block) -> dict[str, Any]:
    """A block with what was run of it."""
    run = {key: _run(c, key, getattr(block, key) or ()) for key in WHERE}
    found = block.written() | {key: names for key, names in run.items() if names}
    return found | ({"variant": _variants(c, block)} if block.variant else {})


def _was_run(c: Composition, block: Block) -> bool:
    """Whether params.yaml has left any data set and student of a block."""
    return all(_run(c, key, getattr(block, key) or getattr(c.preset.grid, key)) for key in WHERE)


def _variants(c: Composition, block: Block | Grid) -> list[str]:
    """The variants of a list, members as the one that they are of."""
    return list(dict.fromkeys(c.members[name].variant if name in c.members else name for name in block.variant or ()))


class _Plain(yaml.SafeDumper):
    """Writes a mapping that occurs twice twice, instead of an alias of the first."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _flow(value: Any) -> str:
    """One line of YAML."""
    return yaml.dump(value, Dumper=_Plain, default_flow_style=True, sort_keys=False, width=10_000).strip()
