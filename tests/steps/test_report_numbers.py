"""What the page says of the results, and that it is what the runs' files say."""

import json
import re

from synthetic_report import RESULTS, Page, run

from vlkd_steps.core import files, layout
from vlkd_steps.reporting.table import interval, learned, points, read, spread, sure
from vlkd_steps.teachers.targets.visual_words import Measured


def test_the_numbers_on_the_page_are_those_of_gains_csv(html: str) -> None:
    page = Page(html)
    shown = [
        [cell.lstrip("●■◆ ") for cell in row[-7:-3]] for row in page.rows if len(row) in (7, 8) and "±" in "".join(row)
    ]
    rows = read(RESULTS / "gains.csv")
    few = {True: " wide: 3 seeds", False: ""}
    expected = [
        [
            row["variant"],
            f"{spread(row)} {learned(row)}".strip(),
            points(row["gain"]),
            interval(row) + few[row["gain_low"] is not None],
        ]
        for row in rows
    ]
    assert len(expected) == 36
    assert sorted(shown) == sorted(expected)


def test_a_gain_says_whether_its_interval_excludes_0(html: str) -> None:
    page = Page(html)
    said = sum("yes, above" in row[-2] for row in page.rows if len(row) in (7, 8))
    rows = read(RESULTS / "gains.csv")
    assert said == sum(row["gain_low"] is not None and row["gain_low"] > 0 for row in rows) > 0


def test_the_headline_is_about_test_and_counts_what_is_sure(html: str) -> None:
    rows = [
        row for row in read(RESULTS / "gains.csv") if row["evaluation_set"] == "test" and row["variant"] == "clip_td"
    ]
    gains = [row["gain"] for row in rows]
    assert f"{points(min(gains))} to {points(max(gains))} points" in re.search(r"<h1>(.*?)</h1>", html)[1]
    above = sum(sure(row) > 0 for row in rows)
    assert (
        f"On test the gain is significantly above 0 (5 %) in {above} of 4 comparisons; a verdict takes 5 seeds." in html
    )


def test_the_page_shows_what_the_teacher_did(html: str) -> None:
    rows = [[cell.strip() for cell in row] for row in Page(html).rows]
    assert ["method", "shot", "gradient ratio", "distance, image"] in rows
    [values] = {tuple(row[1:]) for row in rows if len(row) == 4 and row[0].endswith("clip_td") and row[1] == "300"}
    assert values == ("300", "0.5 → 0.25", "0.5 → 0.4")
    assert 'href="#teaching"' in html


def test_the_page_shows_what_was_selected_and_warns_of_it(config: dict) -> None:
    for run_of in (each for each in config["runs"] if (each["variant"], each["dataset"]) == ("clip_td", "scenes_vqa")):
        run_of["targets"] = "0123456789abcdef"
        path = layout.targets("scenes_vqa", "clip_scenes", run_of["shot"], run_of["seed"], run_of["targets"])
        noted = Measured(0.138, 0.212, 0.008, 0.198, 1000).note({"selection": "both", "relevance": "plain"})
        files.write_json(layout.targets_provenance(path), {"seconds": 2.5} | noted)
    html = run(config)
    settings = "selection both, relevance plain"
    rows = [row for row in Page(html).rows if row[2:3] == [settings]]
    numbers = ["13.8 %", "21.2 %", "0.198", "1 000", "3"]
    assert rows == [["scenes_vqa", "clip_scenes", settings, shot, *numbers] for shot in ("100", "300")]
    assert "300 training questions: 13.8% of the chosen words are visual, 7.4 points fewer" in html
    assert "set relevance: centred" in html
    assert 'href="#selection"' in html


def test_a_shot_counts_what_the_task_calls_its_items(html: str) -> None:
    assert '<span class="wide">hypotheses</span>' in html
    assert '<span class="wide">questions</span>' in html
    assert "test, 300 training hypotheses</span>" in html
    assert "test, 300 training questions</span>" in html
    plot = (RESULTS / "plots/learning_curves.svg").read_text()
    assert ">training hypotheses<" in plot
    assert ">training questions<" in plot


def test_overlap_of_evaluation_sets_with_training_is_shown_beside_the_results(config: dict) -> None:
    assert '<section id="shared">' not in (RESULTS / "report.html").read_text()  # the toy's manifests do not record it
    leaks = {"shared_images": 3, "near_duplicate_images": 41, "shared_texts": 5, "near_duplicate_texts": 6}
    manifest = {"n": 70, "images": 8, "leaks": {kind: {"train": number} for kind, number in leaks.items()}}
    path = layout.split_manifest(layout.eval_split(config["datasets"][0]["name"], "test"))
    path.write_text(json.dumps(manifest))
    html = run(config)
    section = html[html.index('<section id="shared">') :]
    section = section[: section.index("</section>")]
    assert re.findall(r'<td class="n">(\d+)</td>', section) == ["8", "3", "41", "70", "5", "6"]
