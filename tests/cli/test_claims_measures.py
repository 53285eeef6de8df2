"""Claims about a number of a measure, in percent of that of the reference."""

import csv

import pytest
from claimed_scores import claim, of, preset, run, write
from claimed_scores import here as here

from vlkd_steps.cli import claims
from vlkd_steps.core import layout
from vlkd_steps.evaluation.contrasts import Evidence, mean_gain

PAIR = ["by_type", "commonest"]
IN_WORDS = {
    "grid": {"dataset": ["scenes_vqa"], "variant": PAIR, "shot": [100], "seed": [1, 2, 3, 4, 5]},
    "reference": "commonest",
    "highlight": "by_type",
    "variants": {
        "commonest": {"method": "baseline", "by": "commonest"},
        "by_type": {"method": "baseline", "by": "commonest", "given": "question_type"},
    },
    "extra_evals": {"scenes_vqa": {"kept": {"measure": "forgetting"}}},
}
"""A preset whose runs answer in words, with a measure."""


def with_measure(values: dict[str, float]) -> None:
    """Adds a measure's number to `summary.csv`, which varies by 1 % over the seeds of each variant but the first."""
    path = layout.results("mine") / "summary.csv"
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    first = next(iter(values))
    new = [
        row
        | {"evaluation_set": "kept", "metric": "infilling"}
        | {"value": values[row["variant"]] * (1 if row["variant"] == first else 1 + (int(row["seed"]) - 3) / 200)}
        for row in rows
        if row["evaluation_set"] == "test" and row["shot"] == "100" and row["variant"] in values
    ]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows([*rows, *new])


def test_a_number_of_a_measure_is_compared_in_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"test": "measure", "metric": "infilling", "set": ["kept"], "shot": [100], "direction": "below"}
    claimed = {
        "within_five": claim(*PAIR, **kept, margin=5, level="primary"),
        "within_two": claim(*PAIR, **kept, margin=2),
        "no_worse": claim(*PAIR, **kept),
        "no_such": claim(*PAIR, **kept | {"metric": "infiling"}),
    }
    preset({name: claimed[name] for name in claimed if name != "no_such"}, **IN_WORDS)
    write(lambda *_: 40.0, {"scenes_vqa": ["test"]}, PAIR, ["100"])
    with_measure({"commonest": 0.4, "by_type": 0.412})
    found = run(capsys)
    row = of(found, "within_five")
    assert row["found"]["gain"] == pytest.approx(3.0)
    assert row["found"]["high"] - row["found"]["gain"] == pytest.approx(2.776 * 0.8143 / 5**0.5, rel=1e-3)  # t of 4
    assert (row["per_cent"], row["relative"], row["verdict"]) == (True, None, "held")
    assert of(found, "within_two")["verdict"] != "supported"
    assert of(found, "no_worse")["verdict"] == "contradicted"
    assert claims.main(["mine"]) == 0
    assert "+3.0 % [2.0, 4.0]" in capsys.readouterr().out
    preset(claimed, **IN_WORDS)
    assert claims.main(["mine"]) == 2
    assert "kept has no number 'infiling'; it has infilling" in capsys.readouterr().err


def test_a_measure_that_is_zero_has_no_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    kept = claim(*PAIR, test="measure", metric="infilling", set=["kept"], shot=[100])
    preset({"kept": kept}, **IN_WORDS)
    write(lambda *_: 40.0, {"scenes_vqa": ["test"]}, PAIR, ["100"])
    with_measure({"commonest": 0.0, "by_type": 0.4})
    assert claims.main(["mine"]) == 2
    assert "infilling of kept is 0 in a run of the reference" in capsys.readouterr().err


def test_over_shots_it_is_the_mean_of_the_percents() -> None:
    at = {("finetune", "100"): 1.0, ("clip_td", "100"): 2.0, ("finetune", "300"): 100.0, ("clip_td", "300"): 100.0}
    rows = [
        {"dataset": "d", "student": "s", "variant": variant, "shot": shot, "seed": seed, "evaluation_set": "kept",
         "metric": "infilling", "value": value * (1 + seed / 100 if variant == "clip_td" else 1), "run_key": "k"}
        for (variant, shot), value in at.items()
        for seed in (1, 2, 3)
    ]  # fmt: skip
    both = {"100": "clip_td", "300": "clip_td"}, {"100": "finetune", "300": "finetune"}
    found = Evidence("mine", rows).measured("d", "s", "kept", "infilling", mean_gain(*both))
    assert found is not None
    assert found.found.of_seeds == pytest.approx([((100 + 2 * seed) + seed) / 2 for seed in (1, 2, 3)])
