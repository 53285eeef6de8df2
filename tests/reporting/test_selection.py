from dataclasses import replace
from pathlib import Path

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.reporting.selection import Selection, selections, warned
from vlkd_steps.teachers.targets.visual_words import Measured

PLAIN = {"selection": "both", "relevance": "plain", "keyness": "yake", "tokens_per_text": 2}
RANDOM = {"selection": "random", "tokens_per_text": 2}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(key: str | None, seed: int, variant: str, measured: Measured | None, settings: dict[str, object]) -> dict:
    found = {"dataset": "toys", "student": "s", "teacher": "clip", "variant": variant, "shot": "100", "seed": seed}
    if key and measured:
        path = layout.targets_provenance(layout.targets("toys", "clip", "100", seed, key))
        files.write_json(path, {"seconds": 1.0} | measured.note(settings))
    return found | ({"targets": key} if key else {})


def test_a_row_is_the_mean_over_seeds_once_for_all_variants_and_warned_of() -> None:
    low, high = Measured(0.1, 0.2, 0.01, 0.25, 90), Measured(0.15, 0.25, 0.01, 0.5, 100)
    runs = [
        run(None, 1, "finetune", None, {}),
        *(run("a", seed, variant, each, PLAIN) for variant in ("clip_td", "mad")
          for seed, each in ((1, low), (2, high))),
        run("b", 1, "random_words", Measured(0.1, 0.2, 0.01, None, 90), RANDOM),
        run("c", 1, "not_measured", None, {}),
    ]  # fmt: skip
    plain, random = selections(runs)
    assert plain == Selection(
        "toys", "clip", "selection both, relevance plain, keyness yake", "100", 2,
        Measured(0.125, pytest.approx(0.225), 0.01, 0.375, 95), plain.warning,
    )  # fmt: skip
    assert plain.warning.startswith("12.5% of the chosen words are visual, 10.0 points fewer")
    assert "set relevance: centred" in plain.warning
    assert (random.settings, random.measured.auc, random.warning) == ("selection random", None, "")


def test_one_warning_for_all_shots_that_of_the_last() -> None:
    low = Measured(0.1, 0.2, 0.01, 0.25, 90)
    found = selections([run("a", 1, "clip_td", low, PLAIN)])
    more = replace(found[0], shot="300")
    assert warned([found[0], more, replace(more, dataset="others"), replace(more, settings="x", warning="")]) == [
        more,
        replace(more, dataset="others"),
    ]


def test_without_anything_measured_there_is_no_table() -> None:
    assert selections([run("a", 1, "clip_td", None, {}), run(None, 1, "finetune", None, {})]) == []
