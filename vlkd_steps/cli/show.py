"""Show items of a data set as the pipeline sees them: images, questions, answers, and what a student learns of them.

    vlkd show pets
    vlkd show pets --set test --items 12 --html pets.html

The items are those that `prepare` has written, or those of the sample that `vlkd init-data` made, whichever is newer.
The sample is read again where the data set's file or its files of records were changed since; for what `prepare` has
written, that is said.
--html writes one page with the images inside, beside the text. Items are evenly spaced over the data set or the set.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.config import composition
from vlkd_steps.core import artifacts, files, layout, step, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say

ITEMS = 3
ITEMS_OF_A_PAGE = 24


@command.single("show", __doc__)
def main(
    name: Annotated[str, Argument(help="a data set", callback=command.experiment)],
    role: Annotated[
        str | None, Option("--set", help="a role of it, such as train; default: all", metavar="NAME")
    ] = None,
    items: Annotated[
        int | None, Option(min=1, help=f"how many; default: {ITEMS}, of a page {ITEMS_OF_A_PAGE}", show_default=False)
    ] = None,
    html: Annotated[Path | None, Option(help="write a page with the images here", metavar="FILE")] = None,
) -> None:
    command.check_output(html, "--html")
    step.log_to(None)
    from vlkd_steps.own_data import sample, shown

    dataset = composition.dataset(name)
    written = dataset.written()
    folder = layout.sample(name)
    made, sampled = _made(layout.instances(name)), _made(folder / "instances.parquet")
    if not made and not sampled and not sample.tried(name):
        raise UserError(
            f"{name} is not prepared, and there is no sample of it; {how_to_prepare(name)}, or for a data set of your "
            f"own: vlkd init-data {name}"
        )
    prepared = made > 0 and made >= sampled
    if dataset.streamed:
        raise UserError(f"{name} is a corpus in shards, whose pairs are read in training; it has no items to show")
    records = folder_of(written)
    if not prepared and (not sampled or sample.outdated(written) or (records and sample.corrected(written, records))):
        read_again(written)
    if prepared and (file := composition.dataset_file(name)) and _made(file) > made:
        say(
            f"{file} was changed after {layout.instances(name)} was made, from which these items are; if more than "
            f"roles or evaluation sets was changed, {how_to_prepare(name)}"
        )
    if prepared and records:
        for record, (_, changed) in sample.records_of(written, records).items():
            if changed > made:
                what = f"was changed after {layout.instances(name)} was made, from which these items are"
                say(f"{records / record} {what}; {how_to_prepare(name)}")
    path = artifacts.instances(name) if prepared else folder / "instances.parquet"
    labels = artifacts.labels(name) if prepared else files.read_json(folder / "labels.json", kind=list)
    table = shown.of_role(tables.read(path), written, role, sampled=not prepared)
    rows = shown.chosen(table, items or (ITEMS_OF_A_PAGE if html else ITEMS))
    found = shown.items(rows, dataset.task, labels)
    what = f"{'role ' + role if role else 'all'} of {'' if prepared else 'a sample of '}{name}"
    about = f"{what}: {shown.totals(table, labels)}"
    if html:
        files.write_text(html, shown.page(name, f"{about}. Shown: {len(found)}, evenly spaced.", found, rows))
        say(f"{about}\nwrote {html}")
    else:
        say(f"{about}\n\n{shown.text(found)}", end="")


def read_again(dataset: Mapping[str, Any]) -> None:
    """Read the sample anew, as the data set's file or the data were changed.

    Raises:
        UserError: the file, or the data, are wrong, or the source's files cannot be read where they are.
    """
    from vlkd_steps.own_data import sample

    name, source = dataset["name"], composition.source(dataset["source"])
    keys, data = ", ".join(sample.outdated(dataset)), sample.corrected(dataset, Path(source.get("path", "")))
    changed = ", ".join(data) if data and not keys else f"{keys or 'what was wrong'} of its file"
    if not sample.readable(source):
        raise UserError(
            f"the sample of {name} was read before {changed} was changed; to see what it says now, "
            f"{how_to_prepare(name)}"
        )
    say(f"the sample of {name} was read before {changed} was changed; it is read again")
    sample.prepare(dataset, Path(source["path"]), any(map(sample.is_table, source.get("unpack", ()))))


def folder_of(dataset: Mapping[str, Any]) -> Path | None:
    """The folder of a user's files; None where the data are of another kind, or their source cannot be told."""
    with contextlib.suppress(UserError):
        source = composition.source(dataset["source"])
        return Path(source["path"]) if source["kind"] == "local" else None
    return None


def how_to_prepare(name: str) -> str:
    """The command; Snakemake has a rule for the data sets of the grid alone."""
    run = f"run: snakemake --cores 1 -- {layout.instances(name)}"
    with contextlib.suppress(UserError):
        if name in composition.compose().artifacts.dataset:
            return run
    return f"name it in params.yaml (grid: {{dataset: [{name}]}}), then {run}"


def _made(path: Path) -> int:
    """When a file was written; 0: it is not there."""
    return path.stat().st_mtime_ns if path.is_file() else 0


if __name__ == "__main__":
    raise SystemExit(main())
