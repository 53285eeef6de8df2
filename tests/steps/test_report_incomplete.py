"""What the page says where sets, images, journals, runs or all results are missing."""

import json
import re
import shutil
from pathlib import Path

import pytest
from synthetic_report import RESULTS, Page, run

from vlkd_steps.steps import compare, report


def test_without_dev_the_page_says_what_is_left_out(config: dict) -> None:
    assert "not evaluated on <code>dev</code>" not in (RESULTS / "report.html").read_text()
    config["datasets"][0]["evaluation_sets"].remove("dev")
    for path in Path("runs/scenes/scenes_vqa").rglob("journal.jsonl"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"set":"dev"' not in line.replace(" ", "")))
    assert compare.main(["--config", json.dumps(config)]) == 0
    [note] = re.findall(r'<p class="note missing">(.*?)</p>', run(config))
    assert note.startswith(
        "<code>scenes_vqa</code> was not evaluated on <code>dev</code>, so the page has no accuracy on dev"
    )


def test_a_missing_image_is_named_not_fatal(config: dict) -> None:
    shutil.rmtree("data/raw")
    html = run(config)
    assert "image not found:<br>data/raw/scenes/images/test/" in html


def test_without_journals_and_provenance_the_rest_is_there(config: dict) -> None:
    for side_car in [*Path("runs").rglob("journal.jsonl"), *Path("runs").rglob("provenance.json")]:
        side_car.unlink()
    html = run(config)
    assert 'id="training"' not in html
    assert 'id="cost"' not in html
    assert 'id="gains"' in html
    assert (RESULTS / "plots/loss_curves.svg").exists()
    assert (RESULTS / "timings.csv").read_text().startswith("step,dataset,")


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (lambda run: run["variant"] == "finetune", "Nothing was compared with finetune: no other variant was run"),
        (lambda run: run["variant"] != "finetune", "Nothing was compared with finetune: it has no run"),
        (lambda run: run["seed"] == 10, "one seed"),
        (lambda run: run["shot"] == "100", "95 % interval"),
    ],
)
def test_small_experiments(config: dict, keep, expected: str) -> None:
    config["runs"] = [each for each in config["runs"] if keep(each)]
    assert compare.main(["--config", json.dumps(config)]) == 0
    html = run(config)
    assert expected in html
    Page(html)


def test_without_compare_it_says_what_to_run(config: dict, capsys: pytest.CaptureFixture) -> None:
    (RESULTS / "gains.csv").unlink()
    assert report.main(["--config", json.dumps(config)]) == 2
    assert "results/scenes/gains.csv does not exist; it is made by the step `compare`" in capsys.readouterr().err
