"""Several tasks of a Slurm job train one student, as one process with the same global batch would."""

import json
import sys

import pytest
from pipeline_project import Project
from safetensors.torch import load_file
from waiting import Submitter, configuration, submitted

FOLDER = "runs/scenes_smoke/mine/vilt_scenes/clip_td/20/s1"
TOLERANCE = 1e-4  # of the weights' norm; sums are taken in another order (vlkd_steps/core/distributed.py)


@pytest.mark.slow
def test_two_tasks_train_as_one_process_does(project: Project) -> None:
    config = {**configuration(project, "clip_td", evaluate_every=0), "seeds": [1]}
    project.run(sys.executable, "-m", "vlkd_steps.steps.distill", "--config", json.dumps(config))
    model = project.folder / FOLDER / "model.safetensors"
    one = load_file(model)

    config["training"]["processes"] = 2
    submitter = Submitter(project, config, tasks=2)
    assert submitter.ends() == 0, submitter.said
    two = load_file(model)
    assert one.keys() == two.keys()
    apart = sum(float((two[name] - tensor).square().sum()) for name, tensor in one.items()) ** 0.5
    assert apart <= TOLERANCE * sum(float(tensor.square().sum()) for tensor in one.values()) ** 0.5
    assert apart > 0  # it was another training, not the first one's result
    provenance = json.loads((project.folder / FOLDER / "provenance.json").read_text())
    assert provenance["slurm"]["ntasks"] == "2"


MISTAKE = """
    import os
    from vlkd_steps.core.errors import UserError
    from vlkd_steps.engine import loop

    def broken(*_):
        raise UserError("its image is damaged")

    if os.environ["SLURM_PROCID"] == "1":
        {where}
"""


@pytest.mark.parametrize(
    "where", ["broken()", pytest.param("loop.seed_dropout = broken", marks=pytest.mark.exhaustive)]
)
def test_a_mistake_in_another_task_than_the_first_is_its_one_message(project: Project, where: str) -> None:
    """Before the tasks have met, when the first one waits for hours, and at a step of the training."""
    step = project.folder / "vlkd_steps/steps/distill.py"
    first = '    """The job: imports torch, so it runs only if there is something to train."""\n'
    assert first in step.read_text()
    step.write_text(step.read_text().replace(first, first + MISTAKE.format(where=where)))
    before = submitted(project)
    config = {**configuration(project, processes=2), "seeds": [1]}
    submitter = Submitter(project, config, tasks=2, tries=2)
    assert submitter.ends(120) == 2, submitter.said
    assert submitter.said.count("error: ") == 1
    assert "error: its image is damaged" in submitter.said
    assert "Traceback" not in submitter.said
    assert len(submitted(project) - before) == 1
