"""The scorer behind AdvTop-1 and KeepTop-k, on the embedded benchmark's own VCR files."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlkd_steps.benchmarks.scenes.write import write
from vlkd_steps.cli import shift
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import vcr
from vlkd_steps.splits import vcr_masking
from vlkd_steps.splits.vcr_scorer import FEATURES, BagScorer, Item, looks


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write(folder, {"train": 300, "dev": 2, "test": 60, "unseen_pairs": 2, "other_style": 2, "pretrain": 2}, 5)
    return folder


def conf(*rules: str) -> dict:
    def split(name: str) -> dict:
        return {"annotations": f"vcr/{name}.jsonl", "images": "images", "metadata": "vcr/metadata"}

    shifted = {rule: {**split("test"), "rule": rule} for rule in rules}
    return {"name": "scenes_vcr", "files": {"train": split("train"), "test": split("test"), **shifted}}


@pytest.fixture(scope="module")
def own(raw: Path) -> vcr.OwnScores:
    scores = vcr.OwnScores(conf(), raw)
    scores.of("test")
    return scores


def test_it_learns_what_right_choices_look_like(own: vcr.OwnScores) -> None:
    items = list(own._items("test"))
    assert own.scorer is not None
    for kind, least in (("answer", 40), ("rationale", 40)):  # chance is 25
        assert own.scorer.accuracy(items, kind) > least


def test_a_tokens_loss_is_the_cross_entropy_without_it(own: vcr.OwnScores) -> None:
    """Against scores of records from which the word was really taken; objects shape what others look like."""
    item = next(own._items("test"))
    scorer = own.scorer
    assert scorer is not None
    found = scorer.losses(item)["answer"]
    for number, choice in enumerate(item.record["answer_choices"]):
        for place, token in enumerate(vcr_masking.flat(choice)):
            if isinstance(token, str):
                without = [other for other in choice if other != token]
                changed = {**item.record, "answer_choices": [*item.record["answer_choices"]]}
                changed["answer_choices"][number] = without
                scores = np.array([part.sum() for part in scorer.parts(Item(changed, item.looks), "answer")])
                gold = item.record["answer_label"]
                expected = np.log(np.exp(scores).sum()) - scores[gold]
                assert found[number][place] == pytest.approx(expected, abs=1e-5)


def test_without_knowledge_every_token_matters_alike() -> None:
    record = {
        "annot_id": "v", "objects": ["person"], "question": ["Why", [0]], "answer_label": 1, "rationale_label": 0,
        "answer_choices": [["a", [0]]] * 4, "rationale_choices": [["b"]] * 4,
    }  # fmt: skip
    nothing = BagScorer({"answer": np.zeros(FEATURES), "rationale": np.zeros(FEATURES)})
    losses = nothing.losses(Item(record, ["011,0,0"]))
    assert losses == {
        "answer": [[round(np.log(4), 6)] * 2] * 4,
        "rationale": [[round(np.log(4), 6)]] * 4,
    }


def test_what_objects_look_like(tmp_path: Path) -> None:
    from PIL import Image

    image = Image.new("RGB", (90, 90), (0, 0, 0))
    image.paste((255, 130, 0), (0, 60, 30, 90))
    image.save(tmp_path / "i.png")
    assert looks([[0, 60, 30, 90, 1.0], [30, 0, 60, 30, 1.0]], str(tmp_path / "i.png"), (90, 90)) == [
        "320,2,0",
        "000,0,1",
    ]
    assert looks([[0, 0, 10, 10]], "", (30, 30)) == [",0,0"]


def test_the_masked_sets_are_made_while_data_are_read(raw: Path, own: vcr.OwnScores) -> None:
    table = vcr.read(conf("adv_top_1", "keep_top_1"), raw).table.to_pylist()
    rows = {name: {r["instance_id"]: r for r in table if r["split"] == name} for name in ("test", "adv_top_1")}
    assert len(rows["adv_top_1"]) == len(rows["test"])
    masks = [choice.split().count("[MASK]") for row in rows["adv_top_1"].values() for choice in row["choices"]]
    assert set(masks) == {1}
    assert sum("keep_top_1/" in row["instance_id"] for row in table) == len(rows["test"])

    def accuracy(rule: str | None) -> float:
        """Its own masks must lower the scorer's accuracy."""
        assert own.scorer is not None
        masking = vcr_masking.Masking(rule, Path(), own.of("test")) if rule else lambda record: record
        items = [item._replace(record=masking(item.record)) for item in own._items("test")]
        return own.scorer.accuracy(items, "rationale")

    assert accuracy("adv_top_1") < accuracy(None) - 10
    assert accuracy("keep_top_5") > accuracy("adv_top_1") + 10


def test_the_tool_learns_scores_and_keeps_them_in_the_authors_form(raw: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = ["--images", str(raw / "images"), "--metadata", str(raw / "vcr/metadata")]
    common = ["vcr", "--rule", "adv_top_1", "--annotations", str(raw / "vcr/test.jsonl")]
    learn = ["--train", str(raw / "vcr/train.jsonl"), *places, "--scores-out", "scores.jsonl"]
    assert shift.main([*common, *learn, "--out", "adv.jsonl"]) == 0
    assert shift.main([*common, "--scores", "scores.jsonl", "--out", "again.jsonl"]) == 0
    assert Path("again.jsonl").read_bytes() == Path("adv.jsonl").read_bytes()
    line = json.loads(Path("scores.jsonl").read_text().splitlines()[0])
    assert [len(tokens) for tokens in line["answer_tokens"]] == [len(losses) for losses in line["answer_losses"]]


def test_a_scorer_does_not_score_its_training_data(raw: Path) -> None:
    wrong = conf()
    wrong["files"]["adv_top_1"] = {**wrong["files"]["train"], "rule": "adv_top_1"}
    with pytest.raises(
        UserError, match=r"image train-\d+ of vcr/train.jsonl is among those that the scorer learns from"
    ):
        vcr.read(wrong, raw)
    del wrong["files"]["train"]
    with pytest.raises(UserError, match="a rule that masks needs a split train, from which its scorer learns"):
        vcr.read(wrong, raw)


def test_the_scorer_skips_what_the_data_set_may_skip(raw: Path) -> None:
    lines = (raw / "vcr" / "train.jsonl").read_text().splitlines()
    gap = json.dumps({**json.loads(lines[0]), "img_fn": "nowhere.png"})
    (raw / "vcr" / "gap.jsonl").write_text("\n".join([gap, *lines[1:40]]) + "\n")
    dataset = conf()
    dataset["files"]["train"]["annotations"] = "vcr/gap.jsonl"
    with pytest.raises(UserError, match=r"gap\.jsonl: line 1\.img_fn"):
        vcr.OwnScores(dataset, raw).of("test")
    assert vcr.OwnScores({**dataset, "max_skipped": 0.1}, raw).of("test")
