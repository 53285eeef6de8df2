"""The preset that `vlkd tune --write` writes: the swept one with its chosen values, and without its sweeps."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from vlkd_steps.config import precedence
from vlkd_steps.config.models.base import Model
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.preset import Block, Grid
from vlkd_steps.evaluation.tuning import Choice


def text(c: Composition, choices: Sequence[Choice]) -> str:
    """The file. Its comments name the runs behind each value.

    Args:
        choices: by task, shot and swept variant (`tuning.by_task`).
    """
    lines = [
        "# @package _global_",
        f"# The best values by dev of the sweeps of {c.experiment} (vlkd tune {c.experiment}); all trials:",
        f"# results/{c.experiment}/summary.csv. Grid and evaluation sets are those of {c.experiment}: say here what",
        "# differs, and take seeds that no trial used.",
        f"defaults: [{c.experiment}, _self_]",
        "",
        f"grid: {_flow({'variant': list(dict.fromkeys([*_variants(c, c.preset.grid), *_crossed(c)]))})}",
    ]
    if c.preset.grids:
        lines += ["grids:", *(f"  - {_flow(_block(c, block))}" for block in c.preset.grids)]
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


def _block(c: Composition, block: Block) -> dict[str, Any]:
    return block.written() | ({"variant": _variants(c, block)} if block.variant else {})


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
