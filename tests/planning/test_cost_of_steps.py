from pathlib import Path

import pytest

from vlkd_steps.config import composition, precedence
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.graph.dry_run import Job
from vlkd_steps.planning import cost, past


def test_measured_hours_follow_the_tokens_of_a_step_where_they_set_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UNITER on VQA v2: `by_shot` has other batch sizes, which its recipe of tokens does not use."""
    c = composition.compose(Path("params.yaml"), "paper_vqa")
    monkeypatch.chdir(tmp_path)
    tags = {"student": "uniter_base", "dataset": "vqa_v2", "variant": "finetune", "method": "finetune"}
    recipes = {
        shot: precedence.recipe(c, Cell("vqa_v2", "uniter_base", "finetune", shot)) for shot in ("1000", "10pct")
    }
    assert recipes["1000"].batch_size != recipes["10pct"].batch_size
    assert recipes["10pct"].tokens_per_batch == recipes["1000"].tokens_per_batch
    measured = past.Past(tags, 2.0, 0.0, past.step_size(recipes["1000"].written()), 1.0)
    monkeypatch.setattr(past, "runs", lambda: [measured])
    for shot, recipe in recipes.items():
        job = Job("distill", {"dataset": "vqa_v2", "student": "uniter_base", "variant": "finetune", "shot": shot})
        [row] = cost.rows(c, [job], None)
        assert row.hours == pytest.approx(row.count * 2.0 * recipe.steps / 3600)
