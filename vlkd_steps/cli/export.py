"""Export a finished run as a folder that others can load, with a model card.

    vlkd export RUN --out FOLDER [--onnx]

RUN is the folder of one seed, runs/EXPERIMENT/DATASET/STUDENT/VARIANT/SHOT/sSEED. A ViLT with the head of its authors
(student.head: vilt) becomes transformers' ViltForQuestionAnswering, other ViLTs ViltModel and a VisualBERT
VisualBertModel, each with its head in a separate file; a UNITER has the official names; a BART is
BartForConditionalGeneration with its maps to and from CLIP. vlkd_steps.students.exported loads all of them completely.

All weights are safetensors. An existing folder, or the one that FOLDER is a link to, is replaced only if it is
an export of the same run.
"""

import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.core import step
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say


@command.single("export", __doc__)
def main(
    run: Annotated[Path, Argument(help="the folder of a finished run")],
    out: Annotated[Path, Option(help="the folder to write")],
    onnx: Annotated[bool, Option("--onnx", help="write model.onnx too, for a student with pixel input")] = False,
) -> None:
    command.check_output(out, "--out", folder=True)
    folder = command.from_project(run)
    if Path(os.path.realpath(out)).is_relative_to(folder.resolve()):
        raise UserError(
            f"--out {out} is in the run's own folder, {run}, which holds what its training made; name another"
        )
    step.log_to(None)
    from vlkd_steps.deployment import export, finished_run  # torch only where there is work to do

    export.export(finished_run.load(folder), out, onnx)
    say(f"{out}: see its README.md")


if __name__ == "__main__":
    raise SystemExit(main())
