"""Ask a finished run about an image: the best answers with their probabilities.

    vlkd ask RUN --image X.jpg "what colour is the circle?"
    vlkd ask RUN --image X.jpg "A circle is red."                              (SNLI-VE: a hypothesis)
    vlkd ask RUN --image X.jpg "why is person 1 here ?" --choices A B C D      (VCR: the answers)
    vlkd ask RUN --image X.jpg "why is person 1 here ?" --answer A --choices R S T U      (VCR: the rationales)
    vlkd ask RUN --image X.jpg                                                 (a caption)

RUN is the folder of one seed, runs/EXPERIMENT/DATASET/STUDENT/VARIANT/SHOT/sSEED. A student that
reads pixels or CLIP's embedding takes any image file; one that reads stored regions or a teacher's features takes an
image of its data set. A student that generates text gives one answer, or with --choices the probability of each.
"""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vlkd_steps.cli import command
from vlkd_steps.core import step
from vlkd_steps.core.terminal import say


@command.single("ask", __doc__, cls=command.Several)
def main(
    run: Annotated[Path, Argument(help="the folder of a finished run")],
    image: Annotated[Path, Option(help="an image file")],
    question: Annotated[str, Argument(help="the question, or the hypothesis; none for a caption")] = "",
    choices: Annotated[list[str] | None, Option(help="the texts to choose from")] = None,
    answer: Annotated[str, Option(help="for VCR: the answer whose rationale is wanted")] = "",
    best: Annotated[int, Option(min=1, help="number of answers")] = 5,
) -> None:
    step.log_to(None)
    from vlkd_steps.deployment import finished_run  # torch only where there is work to do

    query = finished_run.Query(image, question, tuple(choices or ()), answer)
    for found in finished_run.load(command.from_project(run)).answers(query, best):
        say(f"{found.probability:6.1%}  {found.text}")


if __name__ == "__main__":
    raise SystemExit(main())
