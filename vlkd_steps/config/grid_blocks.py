"""What an experiment crosses: its grid, or its blocks, and what params.yaml chooses of them."""

from collections.abc import Sequence
from typing import Any

from vlkd_steps.config import members
from vlkd_steps.config.models.preset import GivenGrid, Grid, Preset
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError


def blocks_of(preset: Preset, given: GivenGrid, experiment: str, where: str) -> list[Grid]:
    """What the experiment crosses: its grid or, where the preset has ``grids``, each block of it.

    A block's list that is left out is the grid's; all blocks have the grid's seeds. A list of params.yaml
    replaces the grid's or, of blocks, keeps what it names.

    Raises:
        UserError: a value of params.yaml that no block has.
    """
    said = {key: getattr(given, key) for key in given.model_fields_set}
    if not preset.grids:
        return [preset.grid.model_copy(update=said)]
    found = [preset.grid.model_copy(update={key: v for key, v in block if v is not None}) for block in preset.grids]
    seeds = {"seed": said.pop("seed")} if "seed" in said else {}
    for key, wanted in said.items():
        there = {str(value) for block in found for value in getattr(block, key)}
        for value in wanted:
            if str(value) not in there:
                raise UserError(
                    f"{where}: grid.{key} names {value!r}, which no block of experiment {experiment} has; "
                    + nearest(str(value), there)
                )
    cut = []
    for block in found:
        kept = {key: tuple(v for v in getattr(block, key) if str(v) in map(str, said[key])) for key in said}
        cut += [block.model_copy(update=kept | seeds)] if all(kept.values()) else []
    if not cut:
        raise UserError(f"{where}: grid leaves nothing of the blocks of experiment {experiment}; name fewer lists")
    return cut


def lists(blocks: Sequence[Grid]) -> dict[str, tuple[Any, ...]]:
    """Of each key of a grid, the values that any block has, in the order of the blocks."""
    return {
        key: tuple({str(v): v for block in blocks for v in getattr(block, key)}.values()) for key in Grid.model_fields
    }


def key_of(origin: members.Origin, preset: Preset, key: str, name: str) -> str:
    """The dotted key of the list of the grid, or of its first block, that has a name."""
    in_blocks = [n for n, block in enumerate(preset.grids or ()) if name in (getattr(block, key) or ())]
    return f"grids.{in_blocks[0]}.{key}" if in_blocks and f"grid.{key}" not in origin.overridden else f"grid.{key}"
