"""Score result files of any model in the official formats with the official metrics (docs/score.md):

    vlkd score vqa --questions Q.json --annotations A.json --results R.json --out m.json
    vlkd score vcr --annotations val.jsonl --predictions leaderboard.csv
    vlkd score snli_ve --annotations dev.jsonl --results R.json
    vlkd score captions --annotations captions.json --results results.json

Prints a short table and writes everything to --out; equal inputs give equal bytes. If files are malformed or do not
belong together, the exit status is 2 and there is no number. Never imports torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import orjson
from typer import Option

from vlkd_steps.cli import command
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say

WRITTEN = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
Out = Annotated[Path | None, Option(metavar="m.json", help="write the metrics here")]


def results_of(fields: str) -> Any:
    return Option(metavar="R.json", help=f"the results: [{{{fields}}}]")


class Task(Protocol):
    """The interface of the modules of `vlkd_steps.scoring`; a module is imported only if its task is scored."""

    def rows(self, metrics: Mapping[str, Any]) -> list[tuple[str, float]]: ...
    def notes(self, metrics: Mapping[str, Any]) -> list[str]: ...


def vqa(
    annotations: Annotated[Path, Option(metavar="A.json", help="the official annotations")],
    results: Annotated[Path, results_of('"question_id", "answer"')],
    questions: Annotated[
        Path | None, Option(metavar="Q.json", help="the official questions, which must be those of --annotations")
    ] = None,
    per_question: Annotated[bool, Option("--per-question", help="write each question's accuracy too")] = False,
    out: Out = None,
) -> None:
    """VQA soft accuracy. Overall, per question type and per answer type, for an official results list."""
    from vlkd_steps.scoring import vqa as task

    if per_question and out is None:
        raise UserError("--per-question is written to --out alone; name a file: --out m.json")
    inputs = {"questions": questions, "annotations": annotations, "results": results}
    check(inputs, out)
    report(task, "vqa", task.measure(annotations, results, questions, per_question), inputs, out)


def vcr(
    annotations: Annotated[Path, Option(metavar="val.jsonl", help="VCR's annotations")],
    predictions: Annotated[Path, Option(metavar="leaderboard.csv", help="annot_id and the 20 official columns")],
    out: Out = None,
) -> None:
    """Q->A, QA->R and Q->AR. The predictions are a CSV file in the format of VCR's leaderboard."""
    from vlkd_steps.scoring import vcr as task

    inputs = {"annotations": annotations, "predictions": predictions}
    check(inputs, out)
    report(task, "vcr", task.measure(annotations, predictions), inputs, out)


def snli_ve(
    annotations: Annotated[Path, Option(metavar="dev.jsonl", help="the official pairs")],
    results: Annotated[Path, results_of('"pairID", "label"')],
    out: Out = None,
) -> None:
    """Accuracy of three classes. Overall, for each class, and their mean; confusion counts in --out."""
    from vlkd_steps.scoring import snli_ve as task

    inputs = {"annotations": annotations, "results": results}
    check(inputs, out)
    report(task, "snli_ve", task.measure(annotations, results), inputs, out)


def captions(
    annotations: Annotated[Path, Option(metavar="captions.json", help="COCO's captions")],
    results: Annotated[Path, results_of('"image_id", "caption"')],
    images: Annotated[
        Path | None, Option(metavar="ids.json", help="a JSON list of image ids: score only these (Karpathy's test)")
    ] = None,
    out: Out = None,
) -> None:
    """BLEU, METEOR, ROUGE-L, CIDEr, SPICE. Needs the extra vlkd-steps[captions]; METEOR and SPICE need Java."""
    from vlkd_steps.scoring import captions as task

    inputs = {"annotations": annotations, "results": results, "images": images}
    check(inputs, out)
    report(task, "captions", task.measure(annotations, results, images), inputs, out)


main = command.group("score", __doc__, {"vqa": vqa, "vcr": vcr, "snli_ve": snli_ve, "captions": captions})


def report(
    task: Task, name: str, metrics: Mapping[str, Any], inputs: Mapping[str, Path | None], out: Path | None
) -> None:
    """Print the table and its notes, and write all metrics with the inputs' hashes.

    Raises:
        UserError: `out` cannot be written.
    """
    say(table(name, task.rows(metrics)))
    for line in task.notes(metrics):
        say(line)
    if out is None:
        return
    hashes = {key: files.sha256(path) for key, path in inputs.items() if path}
    try:
        content = orjson.dumps({"task": name, **metrics, "inputs": hashes}, option=WRITTEN)
        files.write_text(out, content.decode())
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
    say(f"written to {out}")


def check(inputs: Mapping[str, Path | None], out: Path | None) -> None:
    """Check the paths before anything is read.

    Raises:
        UserError: an input is no file, or `out` cannot be written or is one of the inputs.
    """
    command.check_output(out, "--out")
    for name, path in inputs.items():
        if path is None:
            continue
        if path.exists() and not path.is_file():  # it is read twice: for its content and its hash
            raise UserError(f"--{name} {path}: is no regular file; write its content to a file, and give that one")
        if not path.is_file():
            raise UserError(f"--{name} {path}: there is no such file; give the path of an existing one")
        if out and out.exists() and out.samefile(path):
            raise UserError(f"--out {out} is the file of --{name}, which it would overwrite; give another path")


def table(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Names and percentages in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {value:6.2f}" for name, value in rows)])


if __name__ == "__main__":
    raise SystemExit(main())
