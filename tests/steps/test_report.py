import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import synthetic_costs
import synthetic_results
from in_browser import opened, reached_by_tab, violations
from sealed import seal

from vlkd_steps.cli import table
from vlkd_steps.core import files, layout
from vlkd_steps.reporting import figures, mlflow_links, style, sweep_figures
from vlkd_steps.reporting.experiment import CURVES
from vlkd_steps.reporting.table import by_seed, interval, learned, points, read, spread, training
from vlkd_steps.steps import compare, evaluate, report
from vlkd_steps.teachers.targets.visual_words import Measured
from vlkd_steps.tracking import journal

RESULTS = Path("results/scenes")
FIGURES = ["learning_curves.svg", "gains.svg", "loss_curves.svg"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A project folder with evaluated and compared runs, to be copied by tests that change it."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = synthetic_results.configuration(shots=("100", "300"), sets=("dev", "test", "other_style"))
        synthetic_results.write(config, images=60, questions=2, steps=40)
        for each in synthetic_results.evaluations(config):
            assert evaluate.main(["--config", json.dumps(each)]) == 0
        assert compare.main(["--config", json.dumps(config)]) == 0
        assert report.main(["--config", json.dumps(config)]) == 0
    return folder, config


@pytest.fixture
def config(finished: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    shutil.copytree(finished[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return json.loads(json.dumps(finished[1]))


@pytest.fixture
def html(config: dict) -> str:
    """The page of the unchanged project, whose copy is the current folder."""
    return (RESULTS / "report.html").read_text()


def run(config: dict) -> str:
    assert report.main(["--config", json.dumps(config)]) == 0
    return (RESULTS / "report.html").read_text()


class Page(HTMLParser):
    """The page's table rows, images and addresses; fails on tags that do not nest."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "path", "use", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.images: list[dict] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.addresses += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "img":
            self.images.append(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_the_page_is_whole_and_needs_nothing_else(html: str) -> None:
    page = Page(html)
    assert page.addresses
    *folders, links = [address for address in page.addresses if not address.startswith(("#", "data:image/"))]
    assert len(folders) == 36
    assert all((RESULTS / address).is_dir() for address in folders)  # the runs'
    assert (RESULTS / links).resolve() == layout.mlflow_links("scenes").resolve()  # may be missing
    assert len(page.ids) == len(set(page.ids))
    anchors = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(anchors) <= set(page.ids)


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


@pytest.mark.parametrize(
    ("shot", "expected"),
    [("300", "300 training captions"), ("10pct", "10 % of the training captions"), ("full", "all training captions")],
)
def test_a_shot_in_words(shot: str, expected: str) -> None:
    assert training(shot, "captions") == expected


def test_three_seeds_are_dots_and_four_are_not(tmp_path: Path) -> None:
    summary = {"dataset": "d", "student": "s", "variant": "a", "shot": 100, "evaluation_set": "test"}
    row = {**summary, "shot": "100", "metric": "accuracy", "mean": 50.0, "sd": 1.0, "gain": None, "unit": "questions"}
    counts = {}
    for seeds in (3, 4):
        runs = [{**summary, "seed": seed, "metric": "accuracy", "value": 50.0 + seed, "n": 9} for seed in range(seeds)]
        pl.DataFrame(runs).write_csv(tmp_path / "summary.csv")
        [drawn] = by_seed([row], tmp_path / "summary.csv")
        counts[seeds] = len(drawn["of_seeds"])
        marks = figures.learning_curves([drawn], style.styles(["a"], "a")).count("<use ")
        counts[seeds, "marks"] = marks - figures.learning_curves([row], style.styles(["a"], "a")).count("<use ")
    assert counts == {3: 3, (3, "marks"): 3, 4: 0, (4, "marks"): 0}


def test_with_one_shot_no_mark_hides_another() -> None:
    row = {"dataset": "d", "student": "s", "evaluation_set": "test", "shot": "100", "mean": 50.0, "sd": 1.0,
           "gain": 0.0, "gain_low": -1.0, "gain_high": 1.0, "unit": "questions"}  # fmt: skip
    names = [f"v{number}" for number in range(10)]
    drawn = figures.learning_curves([{**row, "variant": name} for name in names], style.styles(names, "v0"))
    accuracy, gain = drawn.split('id="axes_2"')
    for part in (accuracy, gain):
        marks = re.findall(r'<use xlink:href="#\w+" x="([0-9.]+)" y="[0-9.]+" style="fill: (?!#636b78)', part)
        places = sorted(float(x) for x in marks if float(x))  # at 0: the band, which has no width
        assert len(places) == len(names)
        assert min(high - low for low, high in pairwise(places)) > 5.5  # points, the width of a mark


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


def test_the_page_says_how_to_reproduce_and_to_cite(config: dict, root: Path) -> None:
    shutil.copy(root / "CITATION.cff", ".")
    shutil.copy(root / "requirements.lock", ".")
    html = run(config)
    section = html[html.index('<section id="reproduce">') :]
    assert "in the experiment <code>scenes</code>" in section
    assert 'tags.run_key = "KEY"' in section
    section = section[: section.index("</section>")]
    commands = re.search(r"<code>(git.*?)</code>", section, flags=re.DOTALL)[1].splitlines()
    commit = "git checkout 0123456789abcdef0123456789abcdef01234567"
    assert commands == [commit, "pip install -r requirements.lock", "vlkd run scenes"]
    assert re.findall(r"arXiv:[0-9.]+\d", section) == ["arXiv:2201.05729", "arXiv:2204.10496", "arXiv:2203.06386"]


def test_every_journal_is_read_once_and_figures_on_the_page_are_short(
    config: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    read_journal = journal.read
    monkeypatch.setattr(journal, "read", lambda path: seen.append(path) or read_journal(path))
    html = run(config)
    assert len(seen) == len(set(seen)) == len(config["runs"])
    drawn = re.findall("<svg.*?</svg>", html, flags=re.DOTALL)
    assert drawn
    assert not any(re.search(r"\d\.\d{4}|<g id=", each) for each in drawn)


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
    sure = sum(row["gain_low"] > 0 for row in rows)
    assert f"On test the 95 % interval is above 0 in {sure} of 4 comparisons; a verdict takes 5 seeds." in html


def test_plots_are_the_same_bytes_and_hold_no_date(config: dict) -> None:
    before = [(RESULTS / "plots" / name).read_bytes() for name in FIGURES]
    run(config)
    assert [(RESULTS / "plots" / name).read_bytes() for name in FIGURES] == before
    for content in before:
        ElementTree.fromstring(content)
        assert b"dc:date" not in content


def test_learning_curves_csv_repeats_gains_csv(config: dict) -> None:
    with (RESULTS / "plots/learning_curves.csv").open() as curves, (RESULTS / "gains.csv").open() as gains:
        wanted = [{key: row[key] for key in CURVES} for row in csv.DictReader(gains)]
        assert list(csv.DictReader(curves)) == wanted


def timings() -> list[dict[str, str]]:
    with (RESULTS / "timings.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_timings_of_journals_without_an_allocation(html: str) -> None:
    rows = timings()
    assert len(rows) == 36
    assert (rows[0]["step"], rows[0]["seconds"], rows[0]["peak_mib"]) == ("distill", "8.0000", "812.5000")
    assert (rows[0]["attempts"], rows[0]["core_hours"], rows[0]["gpu_hours"]) == ("1", "", "")
    assert "0123456789" in html  # the commit that the runs were trained at
    cost = html[html.index('<section id="cost">') :]
    assert "-hours" not in cost
    assert "attempts</th>" in cost[cost.index("Every run") :]
    assert "attempts</th>" not in cost[: cost.index("Every run")]  # all runs made it at once
    assert "CPU used" not in cost
    assert "only the process that finished" not in cost  # all that is shown has a journal


def test_what_a_cluster_took_is_in_the_table_and_on_the_page(config: dict) -> None:
    synthetic_costs.on_cluster()
    html = run(config)
    rows = timings()
    preempted = [row for row in rows if row["attempts"] == "2"]
    assert len(preempted) == 9
    assert sum(row["variant"] == "finetune" for row in preempted) == 3
    for row in preempted:
        seconds = {"finetune": 8, "naive_kd": 8.45, "clip_td": 9.5}[row["variant"]] + 90  # both attempts
        assert float(row["seconds"]) == pytest.approx(seconds)
        assert float(row["gpu_hours"]) == pytest.approx(seconds / 3600, abs=1e-6)
        assert float(row["core_hours"]) == pytest.approx(8 * seconds / 3600, abs=1e-6)
        assert row["slurm_node"] in ("gpu03, gpu01", "gpu03, gpu02")
        assert re.fullmatch(r"40\d\d_\d", row["slurm_job"])
        assert (row["gpu"], row["cpu_efficiency"]) == ("NVIDIA A100-SXM4-40GB", "0.3000")
    page = Page(html)
    total = next(row for row in page.rows if row and row[0] == "all together")
    hours = sum(float(row["gpu_hours"]) for row in rows)
    assert (total[1], total[2], total[6]) == ("36", "45", f"{hours:.4f}")
    assert f"{hours:.3g} GPU-hours, 45 attempts of 36 runs" in html
    listed = [row for row in page.rows if row and row[0] == "distill" and re.fullmatch(r"40\d\d_\d", row[-4])]
    assert [row[-4:-1] for row in listed] == [[row["slurm_job"], row["slurm_node"], row["gpu"]] for row in rows]
    by_variant = [row for row in page.rows if row and row[0] == "distill" and row[3] == "6"]
    assert len(by_variant) == 6
    assert sum(float(row[8]) for row in by_variant) == pytest.approx(hours, abs=3e-4)


def test_a_run_trained_again_is_not_charged_for_the_one_before(config: dict) -> None:
    synthetic_costs.on_cluster()
    folder = layout.run_folders("scenes")[1]
    path = layout.journal(folder)
    lines = path.read_text().splitlines()
    older = [json.dumps({**json.loads(lines[0]), "run_key": "other", "time": 1}), '{"event":"end","time":999}']
    path.write_text("\n".join([*older, *lines]) + "\n")
    before = timings()
    run(config)
    row = next(row for row in timings() if row["name"] == str(folder))
    assert row["attempts"] == "1"
    assert row["seconds"] == next(row for row in before if row["name"] == str(folder))["seconds"]


def test_models_and_features_are_timed_where_they_say_so(config: dict) -> None:
    for place in (layout.model("clip_scenes"), layout.features("clip_scenes", "scenes_ve")):
        place.mkdir(parents=True)
        layout.provenance(place).write_text(json.dumps({"seconds": 61.0, "peak_mib": 100.0}))
    html = run(config)
    with (RESULTS / "timings.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["name"]) for row in rows[:2]] == [
        ("pretrain", "models/clip_scenes"),
        ("extract", "features/clip_scenes/scenes_ve"),
    ]
    assert "1 min 01 s" in html
    (extracted,) = [
        row for row in Page(html).rows if row[:3] == ["extract", "scenes_ve", "clip_scenes"] and row[3] == "1"
    ]
    assert "1 min 01 s" in extracted
    assert "of them only the process that finished is counted" in html


def test_who_needs_its_teacher_at_inference_is_said_and_two_teachers_and_regions_are_timed_each(
    config: dict, capsys: pytest.CaptureFixture
) -> None:
    for each in config["runs"]:
        if each["variant"] == "clip_td":
            each |= {"method": "plug_in", "teacher": "eyes+ears", "regions": "boxes"}
    for name in ("eyes", "ears", "boxes"):
        layout.features(name, "scenes_ve").mkdir(parents=True)
        layout.provenance(layout.features(name, "scenes_ve")).write_text(json.dumps({"seconds": 1.0}))
    assert compare.main(["--config", json.dumps(config)]) == 0
    assert "The teacher is needed at inference by <code>clip_td</code>; the students" in run(config)
    with (RESULTS / "timings.csv").open() as stream:
        rows = [(row["step"], row["name"]) for row in csv.DictReader(stream)][:3]
    assert rows == [("extract", f"features/{name}/scenes_ve") for name in ("eyes", "ears", "boxes")]
    capsys.readouterr()
    assert table.main(["--experiment", "scenes"]) == 0
    assert "clip_td keeps its teacher at inference" in capsys.readouterr().out


def test_gallery_shows_where_one_is_right_and_the_other_wrong(html: str) -> None:
    parts = re.split(r"<h4>", html[html.index('id="gallery"') : html.index('id="training"')])[1:]
    assert len(parts) == 4
    for number, part in enumerate(parts):
        hero, other = ("clip_td", "finetune") if number % 2 == 0 else ("finetune", "clip_td")
        assert re.findall(r"<code>(\w+)</code>", part)[:2] == [hero, other]
        cards = part.split('<li class="item">')[1:]
        shown, there_are = map(int, re.search(r"(\d+) of (\d+) items", part).groups())
        assert len(cards) == shown == min(12, there_are)
        assert cards or "There is no such item." in part
        assert cards or hero == "finetune"
        for card in cards:
            verdict = dict(re.findall(r"<code>(\w+)</code></span>.*?right with (\d) of 3 seeds", card, flags=re.DOTALL))
            assert int(verdict[hero]) - int(verdict[other]) >= 2
        images = re.findall(r'alt="Test image (\d+\.png)"', part)
        assert len(images) == len(set(images)) == len(cards)


def test_gallery_shows_what_annotators_answered_and_the_usual_answer_first(config: dict) -> None:
    path = layout.instances("scenes_vqa")
    table = pl.read_parquet(path)
    odd = ~pl.col("instance_id").str.contains("-0000[0-2][0-9]-1")
    extra = pl.col("extra").str.replace(
        '"multiple_choice_answer": "[^"]*"', '"multiple_choice_answer": "none gives it"'
    )
    table.with_columns(extra=pl.when(odd).then(extra).otherwise("extra")).write_parquet(path)
    seal()
    html = run(config)
    gallery = html[html.index('id="gallery"') : html.index('id="training"')]
    assert "at least two of the ten annotators gave the answer" in gallery
    assert "the class is the gold label" in gallery
    wins = gallery.split("<h4>")[1].split('<li class="item">')[1:]
    told = [re.search(r"annotated</span> <b>(.*?)</b>", card)[1] for card in wins]
    assert all(re.fullmatch(r"\w+ \d+(, \w+ \d+)*", each) for each in told)
    assert all(sum(map(int, re.findall(r" (\d+)", each))) == 10 for each in told)
    scores = [re.findall(r"\d/3 · (\d\.\d\d)", card) for card in wins]
    assert all(len(each) == 3 for each in scores)
    usual = {
        (image.rpartition("/")[2], text)
        for image, text in table.filter(~odd, split="test").select("image_path", "text").iter_rows()
    }
    shown = [re.search(r'Test image (.*?)".*"question">(.*?)<', card, flags=re.DOTALL).groups() for card in wins]
    first = [each in usual for each in shown]
    assert first == sorted(first, reverse=True)
    assert {*first} == {True, False}


def test_gallery_images_are_the_files_enlarged_by_their_pixels(html: str) -> None:
    page = Page(html)
    assert page.images
    assert all(image["class"] == "pixels" and image["width"] == "48" and image["alt"] for image in page.images)


def test_the_highlighted_variant_leads(config: dict) -> None:
    assert re.search(r"<h1>(\w+)", (RESULTS / "report.html").read_text())[1] == "clip_td"
    config["highlight"] = "naive_kd"
    html = run(config)
    assert re.search(r"<h1>(\w+)", html)[1] == "naive_kd"
    assert "<code>naive_kd</code> right" in html


def test_text_from_data_is_escaped(config: dict) -> None:
    path = layout.instances("scenes_ve")
    table = pl.read_parquet(path)
    table.with_columns(text=pl.lit("<script>alert(1)</script> & more")).write_parquet(path)
    seal()
    html = run(config)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html


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
        (lambda run: run["variant"] == "finetune", "Nothing was compared with finetune"),
        (lambda run: run["variant"] != "finetune", "Nothing was compared with finetune"),
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


def test_shots_that_are_not_numbers_keep_the_grids_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlkd_steps.reporting import figures, style

    row = {
        "dataset": "d",
        "student": "s",
        "evaluation_set": "test",
        "variant": "finetune",
        "sd": 1.0,
        "gain": None,
        "unit": "questions",
    }
    rows = [{**row, "shot": shot, "mean": mean} for shot, mean in (("300", 40.0), ("10pct", 50.0), ("full", 60.0))]
    svg = figures.learning_curves(rows, style.styles(["finetune"], "finetune"))
    assert re.findall(r">(300|10pct|full)<", svg) == ["300", "10pct", "full"]


def test_every_variant_has_its_own_style() -> None:
    from vlkd_steps.reporting.style import styles

    variants = ["finetune", "naive_kd", "clip_td", "clip_td_core", "mad", "a", "b", "c", "d", "e"]
    looks = styles(variants, "finetune")
    assert len(set(looks.values())) == len(variants)
    assert looks["clip_td"] == styles(["clip_td", "finetune"], "finetune")["clip_td"]
    assert styles(variants[::-1], "finetune") == looks


def test_terminal_table_holds_the_numbers_and_where_to_look(
    config: dict, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert table.main(["--experiment", "scenes"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 80
    for row in read(RESULTS / "gains.csv"):
        if row["evaluation_set"] == "test":
            assert table.plain(spread(row)) in out
            assert row["gain"] is None or table.plain(f"{points(row['gain'])} {interval(row)}") in out
    assert "results/scenes/report.html" in out
    assert "vlkd ui" in out


def test_terminal_table_breaks_many_shots_into_several(config: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row for row in read(RESULTS / "gains.csv") if row["evaluation_set"] == "test" and row["dataset"] == "scenes_ve"
    ]
    many = [{**row, "shot": str(shot)} for shot in (1, 2, 3, 4) for row in rows if row["shot"] == "100"]
    assert [len(each.columns) - 1 for _, each in table.tables(many, 80)] == [2, 2]
    assert [len(each.columns) - 1 for _, each in table.tables(many, 120)] == [4]


def test_terminal_table_refuses_what_is_not_there(config: dict, capsys: pytest.CaptureFixture) -> None:
    assert table.main(["--experiment", "scenes", "--set", "tset"]) == 2
    assert "has no such evaluation set; it has dev, test, other_style" in capsys.readouterr().err
    assert table.main(["--experiment", "other"]) == 2
    assert "results/other/gains.csv does not exist" in capsys.readouterr().err


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


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, str]]]:
    """The page and gains.csv of an experiment with two sweeps, one of two keys, on dev and test."""
    sweeps = {
        "clip_td": {"clip_td_1_p": (1, 1e-3), "clip_td_1_q": (1, 4e-3), "clip_td_3_p": (3, 1e-3)},
        "naive_kd": {"naive_kd_1": (1,), "naive_kd_10": (10,)},
    }
    members = {
        name: {"variant": variant, "label": f"{variant}{list(values)}",
               "values": dict(zip(("lambda0", "learning_rate"), values, strict=False))}
        for variant, of_variant in sweeps.items() for name, values in of_variant.items()
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("swept"))
        variants = ("finetune", *members)
        config = synthetic_results.configuration(variants, ("100", "300"), (1, 2), ("scenes_vqa",), ("dev", "test"))
        for each in config["runs"]:
            member = members.get(each["variant"])
            each |= {"method": member["variant"] if member else "finetune"}
            each |= {"label": member["label"] if member else each["variant"]}
        synthetic_results.write(config, images=30, questions=2, steps=20)
        for each in synthetic_results.evaluations(config):
            assert evaluate.main(["--config", json.dumps(each)]) == 0
        assert compare.main(["--config", json.dumps(config)]) == 0
        page = run(config | {"swept": members})
        with (RESULTS / "gains.csv").open(newline="") as stream:
            return page, list(csv.DictReader(stream))


def test_what_was_swept_is_drawn_and_listed(swept: tuple[str, list[dict[str, str]]]) -> None:
    page, rows = swept
    section = page[page.index('<section id="swept">') : page.index('<section id="gallery">')]
    figures = re.findall(r'aria-label="((?:dev|test)[ ,][^"]*)"', section)
    assert len(figures) == 2 * 2 + 2  # a map for each set and shot; a curve for each set
    assert figures[0].startswith("dev, ")
    mean = {(row["variant"], row["evaluation_set"], row["shot"]): float(row["mean"]) for row in rows}
    assert f"{mean['clip_td_3_p', 'dev', '100']:.1f} with lambda0 3 and learning_rate 0.001" in figures[0]
    assert f"at 300: {mean['naive_kd_1', 'test', '300']:.1f} with 1, " in figures[-1]
    cells = re.findall(r'<tr><th scope="row" class="n">1</th><th scope="row" class="n">0.004</th>(.*?)</tr>', section)
    assert len(re.findall("<td", cells[0])) == 4
    assert f"{mean['clip_td_1_q', 'test', '300']:.1f} ±" in cells[0]


def test_members_are_called_by_their_values_and_the_best_on_dev_leads(
    swept: tuple[str, list[dict[str, str]]],
) -> None:
    page, rows = swept
    assert {row["label"] for row in rows if row["variant"] == "clip_td_1_q"} == {"clip_td[1, 0.004]"}
    assert "<code>clip_td[1, 0.004]</code>" in page
    assert "<code>clip_td_1_q</code>" not in page
    on_dev: dict[str, float] = {}
    for row in rows:
        if row["evaluation_set"] == "dev" and row["method"] == "clip_td":
            on_dev[row["label"]] = on_dev.get(row["label"], 0) + float(row["mean"])
    told = re.findall(r"(?:<h1>|<b>)(clip_td\[[^]]*\])", page[: page.index("<main>")])
    assert told == [max(on_dev, key=lambda label: on_dev[label])]


def test_long_names_are_not_cut_in_the_files_beside_the_page() -> None:
    names = [f"v{number}" for number in range(12)]
    labels = {name: f"clip_td[lambda0={name}, learning_rate=0.001]" for name in names}
    rows = [
        {"dataset": "d", "student": "s", "evaluation_set": on, "variant": name, "shot": shot, "mean": 50.0, "sd": 1.0,
         "gain": 1.0, "gain_low": 0.5, "gain_high": 1.5, "unit": "questions"}
        for on in ("dev", "test") for name in names for shot in ("100", "300")
    ]  # fmt: skip
    drawn = figures.learning_curves(rows, style.styles(names, "v0", labels))
    width = float(re.search(r'<svg [^>]*width="([0-9.]+)pt"', drawn).group(1))
    places = [float(x) for x in re.findall(r'<text style="[^"]*" x="([0-9.]+)"[^>]*>clip_td\[', drawn)]
    assert len(places) == len(names)
    assert max(places) + 5.6 * max(map(len, labels.values())) < width


def test_values_are_spaced_by_their_ratio_where_they_span_much() -> None:
    assert sweep_figures.is_log([1e-3, 2e-3, 4e-3])
    assert sweep_figures.is_log([1, 3, 10])
    assert not sweep_figures.is_log([1, 2, 3])
    assert not sweep_figures.is_log([0, 1, 10])
    assert not sweep_figures.is_log(["l1", "mse"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_the_page(
    finished: tuple[Path, dict], swept: tuple[str, list], scheme: str, tmp_path: Path
) -> None:
    other = tmp_path / "swept.html"
    other.write_text(swept[0], encoding="utf-8")
    for path in (finished[0] / RESULTS / "report.html", other):
        with opened(path.as_uri(), scheme) as page:
            assert page.locator("img:not([alt]), svg:not([aria-label]):not([aria-hidden])").count() == 0
            assert violations(page) == []
            links = [link.inner_text() for link in page.locator("nav a").all()]
            assert reached_by_tab(page, len(links)) == [f"a {text}" for text in links]


def test_tracked_runs_are_linked_to_mlflow_without_another_page(config: dict, html: str) -> None:
    mlflow_links.write("scenes", "http://127.0.0.1:5001", "7", {f"{0:016x}": "of run 0", "of another run": "x"})
    assert (RESULTS / "report.html").read_text() == html
    address = (Path.cwd() / RESULTS / "report.html").as_uri()
    with opened(address) as page:
        page.locator("#every-run").evaluate("e => e.open = true")
        links = page.locator("a[href*=':5001']").all()
        shown = [[link.inner_text(), link.get_attribute("href")] for link in links]
        beside = page.locator("a:has(+ a[href$='run 0'])").get_attribute("href")
        assert "vlkd track" not in page.locator("#mlflow").inner_text()
        assert violations(page) == []
    (of_experiment, first), run = shown[0], shown[1:]
    assert of_experiment == "Means over their seeds"
    assert first.startswith("http://127.0.0.1:5001/#/experiments/7/runs?")
    assert run == [["MLflow", "http://127.0.0.1:5001/#/experiments/7/runs/of run 0"]]
    first_run = config["runs"][0]
    place = layout.run("scenes", *(first_run[key] for key in ("dataset", "student", "variant", "shot", "seed")))
    assert beside == f"../../{place}/"
    layout.mlflow_links("scenes").unlink()
    with opened(address) as page:
        assert "vlkd track --experiment scenes" in page.locator("#mlflow").inner_text()
        assert page.get_by_text("MLflow", exact=True).count() == 0
