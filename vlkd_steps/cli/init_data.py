"""Describe data of your own: look at the files in a folder, write the data-set file, and show three items.

    vlkd init-data pets --task vqa --from ../photos/pets
    vlkd init-data pets --task vqa --from data/incoming/pets --overwrite

The files may be in any format that a reader knows: VQA v2, SNLI-VE, VCR, COCO, Karpathy, Flickr30k, or Parquet of
Hugging Face's datasets. They are recognised by what they hold. NAME.yaml is written to dataset/ in the first folder
that params.yaml names under conf, in a clone to vlkd_steps/conf/, else to conf/; source/NAME.yaml beside it unless the
files are in data/incoming/NAME. Comments in them say what was guessed. What could not be told is listed. A sample of
100 items goes to data/samples/NAME; vlkd show NAME shows more of it. Your files are not changed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.config.models.dataset import READERS
from vlkd_steps.core import files, layout, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say

if TYPE_CHECKING:
    from vlkd_steps.own_data import draft

PARAMS = Path("params.yaml")
CLONE = Path("vlkd_steps/conf")
OWN = Path("conf")
ITEMS = 3
MOST = 12  # lines of a kind
TASKS = sorted({reader.task for reader in READERS.values()})
BY_HAND = "for a task of your own, write the data-set file by hand (docs/own_data.md)"


@command.single("init-data", __doc__)
def main(
    name: Annotated[str, Argument(help="what the data set is called", callback=command.experiment)],
    task: Annotated[str, command.choice(TASKS, "what is asked", BY_HAND)],
    folder: Annotated[Path, Option("--from", help="the folder that holds the files", metavar="FOLDER")],
    overwrite: Annotated[bool, Option("--overwrite", help="replace files of that name")] = False,
) -> None:
    step.log_to(None)
    from vlkd_steps.own_data import draft, roles, sample, shown

    conf, configured = destination()
    packaged = [] if conf.resolve() == composition.CONF.resolve() else packaged_as(name)
    if packaged and not overwrite:
        raise UserError(
            f"{name} is the name of a {packaged[0]} of this package, which yours would replace wherever it is read; "
            "name another, or replace it: --overwrite"
        )
    incoming = folder.resolve() == (layout.INCOMING / name).resolve() and "source" not in packaged
    path = (layout.INCOMING / name).as_posix() if incoming else folder.as_posix()  # of LINK/.. too
    made = draft.draft(name, task, folder, path, incoming)
    targets = [conf / group / f"{name}.yaml" for group in ("dataset", "source")]
    for target in targets:
        if target.exists() and not overwrite:
            raise UserError(f"{target} exists; name another data set, or replace it: --overwrite")
    sample.emptied(name)  # what is wrong there is not of the data
    try:
        read = sample.prepare(made.dataset, Path(path), made.unpacks)
    except UserError as error:
        write(targets, made)
        tell("left out: ", made.left_out)
        tell("could not tell: ", made.notes)
        there = ", ".join(str(target) for target in targets if target.exists())
        raise UserError(f"{error} ({there}: written; correct what is wrong there, or the data)") from error
    table = shown.frame(read.table)
    told = [] if made.unpacks else roles.checked(made.dataset, table)
    write(targets, made)
    train = table.filter(split=made.dataset["roles"]["train"]["split"])
    say(f"read {'the first rows: ' if made.unpacks else ''}{shown.totals(table, read.labels)}")
    for label, lines in (("", told), ("left out: ", made.left_out), ("could not tell: ", made.notes)):
        tell(label, lines)
    say(f"\n{shown.text(shown.items(shown.chosen(train, ITEMS), task, read.labels))}")
    if not configured:
        say(f"Add this line to {PARAMS}, so that the files are found: conf: [{conf}]")
    say(f"Look at more: vlkd show {name} --html {name}.html. Correct the files; docs/own_data.md says how to run it.")


def write(targets: Sequence[Path], made: "draft.Draft") -> None:
    for target, text in zip(targets, (made.text(), made.source_text()), strict=True):
        if text:
            files.write_text(target, text)
            say(f"wrote {target}")
        elif target.exists():  # it would be read instead of the folder in data/incoming
            target.unlink()
            say(f"removed {target}")


def tell(label: str, lines: Sequence[str]) -> None:
    for line in lines[:MOST]:
        say(f"{label}{line}")
    if len(lines) > MOST:
        say(f"{label}{len(lines) - MOST} more")


def packaged_as(name: str) -> list[str]:
    """What the package has under a name: a dataset, a source."""
    return [group for group in ("dataset", "source") if name in composition.options(group)]


def destination() -> tuple[Path, bool]:
    """The folder of configuration files of the user's own, and whether it is searched.

    Raises:
        UserError: params.yaml is missing or wrong.
    """
    given = composition.read_params(PARAMS).conf
    if given:
        return Path(given[0]), True
    return (CLONE, True) if CLONE.is_dir() else (OWN, False)


if __name__ == "__main__":
    raise SystemExit(main())
