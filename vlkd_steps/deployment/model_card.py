"""The model card of an exported run: README.md with a YAML header for the Hugging Face hub.

Every number is copied from the run's ``metrics.json`` and, with intervals over seeds, from the experiment's
``gains.csv``; the card says which results are missing or were computed from other weights of this run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps import tasks
from vlkd_steps.config import extra_evals
from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import checksums, files, layout, markdown
from vlkd_steps.deployment.finished_run import FinishedRun
from vlkd_steps.evaluation import tables
from vlkd_steps.reporting import table
from vlkd_steps.students import exported

WITH_HEAD = "ViltForQuestionAnswering"
TRANSFORMERS = """```python
from PIL import Image
from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

model, processor = (kind.from_pretrained("FOLDER") for kind in (AutoModelForVisualQuestionAnswering, AutoProcessor))
shown = processor(images=Image.open("photo.png").convert("RGB"), text="what color is it", return_tensors="pt")
scores = model(**shown).logits.sigmoid()[0]
print(model.config.id2label[int(scores.argmax())])
```

In transformers 4 `pipeline("visual-question-answering", model="FOLDER")` does the same; transformers 5 no longer has
that pipeline."""

ENCODER = """```python
from pathlib import Path

from transformers import CLASS
from vlkd_steps.students import exported

encoder = CLASS.from_pretrained("FOLDER")        # without the head
student = exported.load(Path("FOLDER"))          # with it, of the package vlkd-steps
```"""

OWN = """```python
from pathlib import Path

from vlkd_steps.students import exported

student = exported.load(Path("FOLDER"))          # of the package vlkd-steps; transformers has no such class
```"""

PLUGIN = """The student's code is a plugin's, with a function `load_folder`. Unless it is an installed package
with entry points, name it before that: `vlkd_steps.core.components.use(["PLUGIN"])`, in a folder where Python finds
it."""

BART = """```python
from pathlib import Path

from vlkd_steps.students import inference

model = inference.load(Path("FOLDER"))           # of the package vlkd-steps: the BART with its CLIP
model.answer(["photo.png"], ["what color is it"])
model.caption(["photo.png"])
```

`BartForConditionalGeneration.from_pretrained("FOLDER")` loads only the BART, without image input."""


def card(run: FinishedRun, folder: Path) -> str:
    """The text of README.md for a folder that already has the model."""
    name = next(iter(files.known_json(folder / "config.json").get("architectures") or []), "")
    header = yaml.safe_dump(_header(run, name), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{_body(run, name)}"


def _header(run: FinishedRun, name: str) -> dict[str, Any]:
    described = run.described
    teacher = described.get("teacher")
    kind = run.task.hub_name
    results = [
        {
            "task": {"type": kind or run.task_name},
            "dataset": {"name": f"{run.dataset}, {name}", "type": run.dataset},
            "metrics": [{"type": metric, "value": value, "name": f"{metric}, seed {described['seed']}"}],
        }
        for name, metric, value in _metrics(run)
    ]
    return {
        "license": "unknown",
        "library_name": "transformers" if name == WITH_HEAD else "vlkd-steps",
        **({"pipeline_tag": kind} if kind else {}),
        "tags": ["vlkd-steps", described["student"]["kind"], described["method"]["name"]],
        "vlkd_steps": {
            "run": str(run.folder),
            "run_key": described["run_key"],
            "content_key": described["content_key"],
            "dataset": run.dataset,
            "task": run.task_name,
            "shot": described["shot"],
            "seed": described["seed"],
            "student": described["student"]["name"],
            "variant": described["variant"],
            "method": described["method"]["name"],
            "teacher": teacher["name"] if teacher else None,
        },
        "model-index": [{"name": f"{described['student']['name']} {described['variant']}", "results": results}],
    }


def _metrics(run: FinishedRun) -> Iterator[tuple[str, str, float]]:
    """Evaluation set, metric and value of this seed, if the run was scored."""
    path = layout.metrics(run.folder)
    listing = layout.run_checksums(run.folder, "evaluate")
    found = files.read_json(checksums.verified(path, listing)) if path.is_file() else {}
    for evaluation in extra_evals.sets(run.described["dataset"]):
        for metric in tasks.load(evaluation.task).compared_by:
            value = found.get(evaluation.name, {}).get(metric.name)
            if value is not None:
                yield evaluation.name, metric.name, round(float(value), 4)


def _body(run: FinishedRun, name: str) -> str:
    described = run.described
    student, teacher, method = described["student"], described.get("teacher"), described["method"]["name"]
    began = student.get("weights") or ("weights that were pre-trained here" if student.get("pretrained") else "scratch")
    if first := described.get("init"):
        began = f"the model of variant `{first['variant']}` on `{first['dataset']}` (shot {first['shot']}, same seed)"
    taught = f", teacher `{teacher['name']}`" if teacher else ", without a teacher"
    return f"""# {student["name"]}, {described["variant"]}, on {run.dataset}

A {student["kind"]} student, from {began}, trained for {run.task_name} by method `{method}`{taught}, on
{described["train_items"]} items (shot {described["shot"]}, seed {described["seed"]}) of `{run.dataset}`, for
{described["training"]["steps"]} steps. It has {described["student_parameters"]:,} parameters.{_sees(run)}

## Use

{_use(student["kind"], name)}

## Results

{_results(run)}

## Licence

The configuration files of this run name no licence of the data, of the teacher or of the weights that training started
from, so `license` is `unknown`; set it before you publish the model.

## Provenance

Run `{run.folder}`, key `{described["run_key"]}`, content key `{described["content_key"]}`. In the project,
`vlkd verify {run.folder}` trains it again and compares every byte. `vlkd_export.json` lists the files.
"""


def _sees(run: FinishedRun) -> str:
    """What the student reads instead of pixels, which is not part of the folder."""
    student, teacher = run.described["student"], run.described.get("teacher")
    if clip := getattr(run.student, "clip", None):
        names = ", ".join(f"`{clip[key]}`" for key in ("model", "weights") if clip.get(key))
        return f" Images are embedded by its CLIP ({names}), which is not in this folder."
    if teacher and declaration(run.described["method"]["name"]).keeps_teacher:
        return f" It reads the patches of its teacher `{teacher['name']}` instead of pixels, so it needs the teacher."
    return f" It reads regions of `{student['regions']}` instead of pixels." if student.get("regions") else ""


def _use(kind: str, name: str) -> str:
    """How a student is loaded; `name`: its class in transformers, empty if there is none."""
    if kind == "bart":
        return BART
    if name == WITH_HEAD:
        return TRANSFORMERS
    text = ENCODER.replace("CLASS", name) if name else OWN
    return text if kind in exported.KINDS else f"{text}\n\n{PLUGIN}"


def _results(run: FinishedRun) -> str:
    body = [(name, metric, f"{value:.2f}") for name, metric, value in _metrics(run)]
    if not body:
        return "The run has not been scored."
    own = markdown.table(("evaluation set", "metric", "this seed"), body)
    return "\n".join([*own, "", _over_seeds(run)])


def _over_seeds(run: FinishedRun) -> str:
    """The rows of `gains.csv` that this run is one seed of."""
    results = layout.results(run.described["experiment"])
    keys = {"dataset": run.dataset, "student": run.described["student"]["name"], "variant": run.described["variant"]}
    keys["shot"] = str(run.described["shot"])
    if not (results / "summary.csv").is_file() or not (results / "gains.csv").is_file():
        return "The experiment's seeds have not been compared, so there are no intervals."
    if run.described["run_key"] not in {row["run_key"] for row in tables.read(results / "summary.csv").to_dicts()}:
        return "The experiment's results were computed from other weights of this run, so they are left out."
    body = []
    for row in tables.read(results / "gains.csv").to_dicts():
        if {key: str(row[key]) for key in keys} == keys:
            gain = "–" if row["gain"] is None else f"{table.points(row['gain'])} {table.interval(row)}"
            body.append((row["evaluation_set"], row["metric"], row["seeds"], table.spread(row), gain))
    header = ("evaluation set", "metric", "seeds", "mean ± sd", "gain over the reference [95 % interval]")
    return "\n".join(["Over seeds:", "", *markdown.table(header, body)])
