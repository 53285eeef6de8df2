"""The marks, axes and legends of figures, and the style of each variant."""

import html
import re
import warnings
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from vlkd_steps.reporting import figures, style, sweep_figures
from vlkd_steps.reporting.table import by_seed


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


def gain(dataset: str, variant: str, **more: str) -> dict[str, object]:
    return {"dataset": dataset, "student": "s", "evaluation_set": "test", "shot": "100", "variant": variant,
            "mean": 50.0, "sd": 1.0, "gain": 0.0, "gain_low": -1.0, "gain_high": 1.0, "unit": "questions",
            **more}  # fmt: skip


def test_panels_with_other_variants_share_the_names_at_their_left() -> None:
    rows = [gain("one", "a"), gain("one", "b"), gain("two", "c"), gain("two", "b")]
    drawn = figures.gains(rows, style.styles(["a", "b", "c"], "r"))
    assert re.findall(r">(\w) 100</text>", drawn) == ["a", "b", "c"]
    lines = [float(y) for y in re.findall(r'y="([0-9.]+)"[^>]*>[abc] 100</text>', drawn)]
    of_two = drawn.split('id="axes_2"')[1]
    marks = [float(y) for y in re.findall(r'<use xlink:href="#\w+" x="[0-9.]+" y="([0-9.]+)" style="fill', of_two)]
    assert [min(range(3), key=lambda line: abs(lines[line] - 3 - mark)) for mark in marks] == [1, 2]  # b and c


def test_panels_of_several_students_say_which() -> None:
    rows = [gain("one", "a", student=student) for student in ("vilt", "uniter")] + [gain("two", "a", student="vilt")]
    for draw in (figures.gains, figures.learning_curves):
        titles = re.findall(r">([^<>]*: test)</text>", draw(rows, style.styles(["a"], "r")))
        assert titles == ["one (vilt): test", "one (uniter): test", "two: test"]


def test_the_legend_has_variants_that_the_first_panel_lacks() -> None:
    looks = style.styles(["a", "b", "c"], "r")
    panels = {("d", "100"): {"a": {1: [2.0]}}, ("d", "1000"): {"a": {1: [2.0]}, "b": {1: [1.0]}}}
    assert re.findall(r">([abc])</text>", figures.training_curves(panels, looks, "loss")) == ["a", "b"]
    rows = [gain("one", "a"), gain("one", "b"), gain("two", "b"), gain("two", "c")]
    assert re.findall(r">([abc])</text>", figures.learning_curves(rows, looks)) == ["a", "b", "c"]


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

    variants = ["finetune", "naive_kd", "clip_td", "clip_td_b", "mad", *(f"v{number}" for number in range(60))]
    looks = styles(variants, "finetune")
    drawn = {(each.light, each.dark, each.marker, each.dash) for each in looks.values()}
    assert len(drawn) == len(variants)
    assert looks["clip_td"] == styles(["clip_td", "finetune"], "finetune")["clip_td"]
    assert styles(variants[::-1], "finetune") == looks


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


def test_small_swept_values_stay_readable_on_the_page() -> None:
    look = style.styles(["a"], "a")["a"]
    means = {number: (40.0 + number / 3, None) for number in range(3)}
    drawn = sweep_figures.curves([0.00025, 0.0005, 0.001], {"full": means}, "learning_rate", look)
    page = figures.inline(drawn, {"a": look}, "f")
    assert re.findall(r">(0\.0[0-9]*)</text>", page) == ["0.00025", "0.0005", "0.001"]
    assert not re.search(r'="[^"]*\d\.\d{4,}', page)  # the coordinates are short


def test_a_dollar_in_a_label_is_drawn_as_it_is() -> None:
    row = {"dataset": "d", "student": "s", "evaluation_set": "test", "shot": "100", "variant": "a", "mean": 50.0,
           "sd": 1.0, "gain": 0.0, "gain_low": -1.0, "gain_high": 1.0, "unit": "questions"}  # fmt: skip
    looks = style.styles(["a"], "b", {"a": "a[template=$x_{ of $]"})
    assert "a[template=$x_{ of $] 100" in figures.gains([row], looks)


def test_what_a_page_adapts_in_tags_stays_in_texts() -> None:
    """A swept value may look like anything, and its letters may be ones that matplotlib's font does not have."""
    named = 'a url(#b) id="c" href="#d" #1b2027 一'
    looks = style.styles(["a"], "r", {"a": named})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = figures.gains([gain("one", "a")], looks)
    page = figures.inline(drawn, looks, "f")
    [shown] = [html.unescape(text) for text in re.findall(r">([^<>]*)</text>", page) if "100" in text]
    assert shown == f"{named} 100"
    assert 'id="f-' in page
    assert "url(#f-" in page
    assert "var(--ink)" in page
