"""A language model of the project's own, pretrained on texts of scenes."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from vlkd_scenes import TINY, job

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.runs import forgetting, pretrain_bart
from vlkd_steps.students import bart


def test_a_language_model_is_pretrained_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    making = {"stream": "scenes", "seed": 0, "steps": 4, "batch_size": 4, "learning_rate": 1e-3, "device": "cpu"}
    making |= {"answers_first": 2}
    eight_heads = TINY | {"encoder_attention_heads": 8}  # what the initial weights need (`students.lookup_start`)
    student = job()["student"] | {"pretrain": making | {"threads": 1, "precision": "fp32"}, "architecture": eight_heads}
    pretrain_bart.pretrain(student)
    weights = layout.model_weights("tiny").read_bytes()
    loaded = bart.build(job()["student"] | {"pretrained": True}, 128, 1)
    abilities = forgetting.on_scenes(loaded.eval(), 1, size=60)
    assert 0 < abilities["infilling"] < 10
    assert 0 <= abilities["entailment"] <= 100
    assert abilities["answers"] < 50  # four steps teach nothing
    assert abilities == forgetting.on_scenes(loaded, 1, size=60)
    glue, xsum = Path("glue"), Path("xsum")
    assert forgetting.glue(loaded, {"folder": str(glue)}, 1) == {}  # nothing is there
    assert forgetting.xsum(loaded, {"folder": str(xsum)}, 1) == {}
    for folder in (glue / "sst2", xsum):
        folder.mkdir(parents=True)
    sentences = [{"sentence": f"a {word} circle", "label": int(word == "red")} for word in ("red", "blue") * 20]
    for split_name in ("train", "validation"):
        pl.DataFrame(sentences).write_ndjson(glue / "sst2" / f"{split_name}.jsonl")
    assert forgetting.glue(loaded, {"folder": str(glue), "size": 10}, 1) == {"sst2": 100.0, "n": 10}
    with pytest.raises(UserError, match=r"sst2: the first 1 records of train all have the label 1"):
        forgetting.glue(loaded, {"folder": str(glue), "size": 1}, 1)
    pl.DataFrame({"document": ["a red circle " * 60] * 2, "summary": ["a circle"] * 2}).write_csv(xsum / "test.csv")
    scores = forgetting.xsum(loaded, {"folder": str(xsum)}, 1)
    assert scores["n"] == 2
    assert 0 <= scores["ROUGE-L"] <= 100
    # the same again, from its own checkpoint and from nothing
    layout.model_weights("tiny").unlink()
    pretrain_bart.pretrain(student)
    assert layout.model_weights("tiny").read_bytes() == weights
    shutil.rmtree("models")
    pretrain_bart.pretrain(student)
    assert layout.model_weights("tiny").read_bytes() == weights
    with pytest.raises(UserError, match=r"pretrain\.stream is 'books'; .*set it to scenes"):
        pretrain_bart.pretrain(student | {"pretrain": making | {"stream": "books"}})
