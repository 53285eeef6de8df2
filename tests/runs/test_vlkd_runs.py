"""A VLKD run on scenes, small enough for a test: what is trained, what is not, and that a stop leaves no trace."""

import itertools
import json
import os
import shutil
import signal
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from vlkd_steps.cli import verify
from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.deployment import export, finished_run, page
from vlkd_steps.methods import objective
from vlkd_steps.runs import caption_batches, forgetting, pretrain_bart, seeds, vlkd
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.sources import manifest
from vlkd_steps.steps import download, prepare, split
from vlkd_steps.students import bart, inference
from vlkd_steps.teachers.features import extraction
from vlkd_steps.teachers.models import clip
from vlkd_steps.teachers.models.weights import weights_digest

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "vlkd_steps" / "conf"
SMALL = {"train": 40, "dev": 6, "test": 6, "unseen_pairs": 2, "other_style": 2, "pretrain": 2}
TINY = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 80,
    "dropout": 0.1,
}


def conf(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with prepared captions and questions, and stored features."""
    folder = tmp_path_factory.mktemp("scenes")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert download.main(["--config", json.dumps({"source": conf("source/scenes") | SMALL})]) == 0
        for name in ("scenes_wide_captions", "scenes_vqa"):
            dataset = conf(f"dataset/{name}") | {"allow_leaks": []}
            assert prepare.main(["--config", json.dumps({"dataset": dataset})]) == 0
            sets = {"role": "eval", "dataset": dataset | {"evaluation_sets": ["dev"]}}
            assert split.main(["--config", json.dumps(sets)]) == 0
            train = {"role": "train", "dataset": dataset, "shots": ["full", 8], "seeds": [1]}
            assert split.main(["--config", json.dumps(train)]) == 0
            rows = pl.read_parquet(layout.instances(name)).filter(pl.col("split") == "train")
            teacher = conf("teacher/clip_scenes")
            where = layout.features("clip_scenes", name)
            extraction.extract(
                clip.load(teacher), rows.select("image_id", "image_path", "text"), where, teacher, "test"
            )
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(scenes)
    return scenes


def job(**more: Any) -> dict[str, Any]:
    training = {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "checkpoint_every": 2, "device": "cpu"}
    return {
        "experiment": "test",
        "dataset": {"name": "scenes_wide_captions", "task": "captioning", "evaluation_sets": []},
        "student": {"name": "tiny", "kind": "bart", "vocabulary": "scenes", "architecture": TINY},
        "variant": "vlkd",
        "method": conf("method/vlkd") | more.pop("method", {}),
        "teacher": conf("teacher/clip_scenes"),
        "shot": "full",
        "seeds": [1],
        "training": training | more.pop("training", {}) | {"precision": "fp32", "threads": 1},
        **more,
    }


def train(config: dict[str, Any], status: int = 0) -> RunDir:
    """Run a job; returns the folder of its one run."""
    assert seeds.train_seeds(config) == status
    return RunDir.of(config, 1)


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_a_run_answers_what_it_never_trained_on_and_leaves_clip_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[clip.ClipTeacher] = []
    monkeypatch.setattr(clip, "ClipTeacher", lambda *a, made=clip.ClipTeacher: seen.append(made(*a)) or seen[-1])
    of_vqa = {"dataset": "scenes_vqa", "task": "vqa", "set": "dev", "beams": 2}
    extra = {
        "open": of_vqa,
        "listed": of_vqa | {"answers": "listed", "images": 3},
        "captions": {"dataset": "scenes_wide_captions", "task": "captioning", "set": "dev", "beams": 2},
        "retrieval": {
            "measure": "retrieval",
            "dataset": "scenes_wide_captions",
            "task": "captioning",
            "set": "dev",
        },
        "kept": {"measure": "forgetting", "size": 30},
    }
    data = job()["dataset"] | {"extra_evals": extra}
    place = train(job(dataset=data))
    folder = place.folder
    assert place.finished()
    teacher = seen[0]
    shipped = clip.ClipTeacher(conf("teacher/clip_scenes"))
    assert weights_digest(teacher.model) == weights_digest(shipped.model)  # by its bytes
    assert not any(p.requires_grad for p in teacher.model.parameters())
    points = [e["metrics"] for e in events(folder) if e["event"] == "metrics"]
    assert {"loss/ttdm", "loss/itcl", "loss/icti"} <= set(points[-1])
    answers = pl.read_parquet(place.predictions("open"))
    assert (
        answers["instance_id"].to_list()
        == pl.read_parquet(layout.eval_split("scenes_vqa", "dev"))["instance_id"].to_list()
    )
    listed = pl.read_parquet(place.predictions("listed"))["answer"]
    assert len(listed) == 6  # two questions an image
    assert set(listed) <= set(json.loads(layout.labels("scenes_vqa").read_text()))
    captions = pl.read_parquet(place.predictions("captions"))
    images = pl.read_parquet(layout.instances("scenes_wide_captions"))["image_id", "instance_id"]
    said = captions.join(images, on="instance_id").group_by("image_id").agg(pl.col("answer").n_unique())
    assert said["answer"].to_list() == [1] * 6
    recalled = json.loads(place.predictions("retrieval").read_text())
    assert recalled["n"] == 18
    assert recalled["text_to_image"]["R@10"] == 100  # there are six images
    assert json.loads(place.predictions("kept").read_text())["n"] == 30
    # The file alone, or what `vlkd export` makes of it, is enough: it names its CLIP.
    place.publish()
    export.export(finished_run.load(folder), Path("out"))
    paths = sorted(Path("data/raw/scenes/images/dev").glob("*.png"))[:2]
    answers = [
        inference.load(path).answer(paths, ["what color is the star?", "how many things?"], among=["red", "2"])
        for path in (folder / "model.safetensors", Path("out"))
    ]
    assert len(answers[0]) == 2
    assert answers[0] == answers[1]
    before = place.model.read_bytes()
    more = data | {"extra_evals": extra | {"again": of_vqa | {"prompt": "{q} <mask>", "images": 2}}}
    again = train(job(dataset=more))  # one more wording trains nothing anew
    assert again.key == place.key
    assert again.model.read_bytes() == before
    assert len(pl.read_parquet(again.predictions("again"))) == 4


def test_a_finished_run_answers_queries_and_is_exported(project: Path, tmp_path: Path) -> None:
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": ["dev"]}
    tuned = train(job(dataset=questions, shot="8", experiment="queries", method={"ttdm": 0, "itcl": 0}))
    tuned.publish()
    run = finished_run.load(tuned.folder)
    table = pl.read_parquet(layout.instances("scenes_vqa"))
    rows = pl.read_parquet(tuned.predictions("dev")).join(table, "instance_id", maintain_order="left")
    for row in rows.head(4).iter_rows(named=True):
        query = finished_run.Query(Path(row["image_path"]), row["text"])
        (answer,) = run.answers(query)
        assert answer.text == row["answer"]
        assert 0 < answer.probability < 1
        chosen = run.answers(replace(query, choices=("red", "2", answer.text)))
        assert {found.text for found in chosen} == {"red", "2", answer.text}
        assert chosen == sorted(chosen, key=lambda found: -found.probability)
    export.export(run, tmp_path / "out")
    model = inference.load(tmp_path / "out")
    assert model.answer(rows["image_path"].to_list(), rows["text"].to_list()) == rows["answer"].to_list()
    assert "from vlkd_steps.students import inference" in (tmp_path / "out/README.md").read_text()
    with pytest.raises(UserError, match="the question is empty"):
        run.answers(finished_run.Query(Path(rows["image_path"][0])))
    captions = train(job(experiment="queries", training={"steps": 2}))
    captions.publish()
    described = finished_run.load(captions.folder).answers(finished_run.Query(Path(rows["image_path"][0])))
    assert len(described) == 1
    assert page.Page([finished_run.load(captions.folder)]).items == []  # it has no evaluation set


def test_fine_tuning_starts_from_an_aligned_model_or_from_bart_as_it_was(project: Path) -> None:
    aligned = train(job(experiment="tuning"))
    aligned.publish()
    start = {"dataset": "scenes_wide_captions", "student": "tiny", "variant": "vlkd", "shot": "full"}
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": ["dev"]}
    few = {"dataset": questions, "shot": "8", "experiment": "tuning", "training": {"steps": 2}}
    own = {"ttdm": 0, "itcl": 0}
    tuned = train(job(method=own, init=start, **few))
    plain = train(job(method=own, variant="bart", **few))
    answers = pl.read_parquet(tuned.predictions("dev"))
    assert answers.columns == ["instance_id", "prediction", "answer", "probability"]
    assert answers["answer"].null_count() == 0
    assert tuned.key != plain.key
    assert tuned.identity["init"] == files.sha256(aligned.folder / "model.safetensors")
    # Without any loss nothing is trained, and no image is shown.
    blind = train(job(method=own | {"icti": 0}, variant="blind", **few))
    as_it_was = bart.build(job()["student"], 128, 1, conf("teacher/clip_scenes")).state_dict()
    for name, tensor in bart.load(blind.model).state_dict().items():
        assert torch.equal(tensor, as_it_was[name]), name
    assert not [e for e in events(blind.folder) if e["event"] == "metrics"]
    with pytest.raises(UserError, match="ttdm and itcl compare captions, and scenes_vqa has questions"):
        seeds.train_seeds(job(variant="wrong", **few))
    with pytest.raises(UserError, match=r"/other/full/s1/model.safetensors is missing; make it again: snakemake"):
        seeds.train_seeds(job(method=own, init=start | {"variant": "other"}, **few))


def test_what_trains_nothing_answers_by_clip_or_by_what_is_commonest(project: Path) -> None:
    dataset = job()["dataset"] | {
        "extra_evals": {
            "open": {"dataset": "scenes_vqa", "task": "vqa", "set": "dev", "train": "train"},
            "captions": {"dataset": "scenes_wide_captions", "task": "captioning", "set": "dev"},
            "kept": {"measure": "forgetting", "size": 30},
        }
    }
    table = pl.read_parquet(layout.instances("scenes_vqa")).filter(pl.col("split") == "train")
    corpus = pl.read_parquet(layout.instances("scenes_wide_captions")).filter(pl.col("split") == "train")["text"]
    answers = {}
    for by, given in itertools.product(("clip", "commonest"), ("nothing", "question_type")):
        variant = f"{by}_{given}"
        config = job(dataset=dataset, variant=variant, teacher=conf("teacher/clip_scenes") if by == "clip" else None)
        config["method"] = {"name": "baseline", "by": by, "given": given}
        assert seeds.train_seeds(config) == 0
        place = RunDir.of(config, 1)
        assert place.finished()
        answers[variant] = pl.read_parquet(place.predictions("open"))
        assert set(pl.read_parquet(place.predictions("captions"))["answer"]) <= set(corpus)
        assert place.predictions("kept").read_text().strip() == "{}"
    gold = pl.col("extra").map_elements(lambda extra: json.loads(extra)["multiple_choice_answer"], pl.String)
    known = table.with_columns(gold)
    best = known["extra"].value_counts().sort(["count", "extra"], descending=[True, False])[0, 0]
    assert set(answers["commonest_nothing"]["answer"]) == {best}
    listed = set(json.loads(layout.labels("scenes_vqa").read_text()))
    assert set(answers["clip_nothing"]["answer"]) <= listed
    of_type = {group: set(part["extra"]) for (group,), part in known.group_by("group")}
    groups = pl.read_parquet(layout.instances("scenes_vqa")).select("instance_id", "group")
    for variant in ("clip_question_type", "commonest_question_type"):
        for answer, group in answers[variant].join(groups, on="instance_id").select("answer", "group").iter_rows():
            known_to_it = of_type.get(group, set()) & (listed if variant.startswith("clip") else of_type[group])
            assert not known_to_it or answer in known_to_it
    assert answers["commonest_question_type"]["answer"].n_unique() > 1


@pytest.mark.slow
def test_a_run_what_started_from_it_and_a_baseline_are_verified(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = job()["dataset"] | {
        "extra_evals": {
            "open": {"dataset": "scenes_vqa", "task": "vqa", "set": "dev", "beams": 2},
            "captions": {"dataset": "scenes_wide_captions", "task": "captioning", "set": "dev"},
            "retrieval": {
                "measure": "retrieval",
                "dataset": "scenes_wide_captions",
                "task": "captioning",
                "set": "dev",
            },
        }
    }
    aligned = train(job(experiment="verified", dataset=dataset))
    aligned.publish()
    start = {"dataset": "scenes_wide_captions", "student": "tiny", "variant": "vlkd", "shot": "full"}
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": ["dev"]}
    few = {"dataset": questions, "shot": "8", "experiment": "verified", "training": {"steps": 2}}
    tuned = train(job(method={"ttdm": 0, "itcl": 0}, init=start, **few))
    tuned.publish()
    method = conf("method/baseline") | {"by": "clip"}
    alone = job(experiment="verified", dataset=dataset, variant="clip") | {"method": method}
    assert seeds.train_seeds(alone) == 0
    RunDir.of(alone, 1).publish()
    for folder in (aligned.folder, tuned.folder, RunDir.of(alone, 1).folder):
        outputs = [*folder.glob("model.safetensors"), *folder.glob("predictions/*")]
        assert {path.parent.name for path in outputs} >= {folder.name, "predictions"}
        assert verify.main([str(folder)]) == 0
        printed = capfd.readouterr().out
        assert f"equal: {folder}" in printed
        assert f"{len(outputs)} files have equal bytes" in printed
        assert "changed since" not in printed
        assert "not compared" not in printed
    (aligned.folder / "model.safetensors").write_bytes(tuned.model.read_bytes())
    assert verify.main([str(tuned.folder)]) == 2
    assert f"{aligned.folder}/model.safetensors is damaged" in capfd.readouterr().err


def test_interrupted_and_resumed_is_uninterrupted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsing = {"rehearsal": 1, "rehearsal_texts": "scenes"}
    whole = train(job(variant="whole", method=rehearsing))
    made = vlkd.StoredCaptions.batches

    def stopped(self: Any, numbers: range) -> Any:
        for number, batch in zip(numbers, made(self, numbers), strict=True):
            if number == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    monkeypatch.setattr(vlkd.StoredCaptions, "batches", stopped)
    assert not train(job(variant="cut", method=rehearsing), status=143).model.exists()
    monkeypatch.setattr(vlkd.StoredCaptions, "batches", made)
    assert train(job(variant="cut", method=rehearsing)).model.read_bytes() == whole.model.read_bytes()


def test_texts_are_rehearsed_beside_captions(project: Path) -> None:
    losses = {}
    for texts in ("captions", "scenes"):
        alone = {"ttdm": 0, "itcl": 0, "icti": 0, "rehearsal": 1, "rehearsal_texts": texts}
        run = train(job(variant=f"only_{texts}", method=alone, training={"steps": 2}))
        points = [event["metrics"] for event in events(run.folder) if event["event"] == "metrics"]
        losses[texts] = points[-1]["loss/rehearsal"]
    assert losses["captions"] > 0
    assert losses["scenes"] > 0
    assert losses["captions"] != losses["scenes"]
    batch = next(vlkd.rehearsed(lambda numbers: iter([one_batch()]), None, torch.device("cpu"))([0]))
    assert torch.equal(batch.extra["text"], batch.inputs.tokens)
    assert torch.equal(batch.extra["text_read"], batch.extra["masked"])


def one_batch() -> Batch:
    tokens = torch.tensor([[2, 10, 3]])
    extra = {"masked": tokens[:, :2], "masked_mask": tokens[:, :2] * 0 + 1, "written": torch.ones(1)}
    row = torch.zeros(1, dtype=torch.int64)
    return Batch(Inputs(tokens, tokens * 0 + 1, tokens * 0), torch.zeros(1, 0), row, row, extra=extra)


def test_stored_online_and_streamed_pairs_are_embedded_alike(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    teacher = clip.ClipTeacher(conf("teacher/clip_scenes"))
    student = bart.build(job()["student"], teacher.dim, 1)
    at: dict[str, Any] = {"teacher": teacher, "seed": 1, "size": 8, "device": torch.device("cpu")}
    settings = objective.checked(conf("method/vlkd"), 10)
    stored = vlkd.pairs(job(), student, settings, **at)
    online = vlkd.pairs(job(), student, settings.model_copy(update={"stored_pairs": 3}), **at)
    assert "120 pairs, at most stored_pairs 1000000" in caplog.text
    assert "120 pairs, more than stored_pairs 3: CLIP embeds them online" in caplog.text
    for number in (0, 4):
        one, other = next(stored.batches([number])).tensors(), next(online.batches([number])).tensors()
        assert set(one) == set(other)
        for name in one:
            torch.testing.assert_close(one[name].float(), other[name].float(), atol=1e-5, rtol=1e-4)
    assert torch.equal(next(stored.batches([3])).extra["masked"], next(stored.batches([3])).extra["masked"])
    torch.testing.assert_close(next(stored.batches([0])).extra["v"].norm(dim=1), torch.ones(8))

    # The same corpus as shards, one broken image among them.
    rows = pl.read_parquet(layout.instances("scenes_wide_captions")).filter(pl.col("split") == "train")
    shards = layout.raw("scenes") / "shards"
    shards.mkdir()
    pairs = rows.select("image_path", "text").head(24).rows()
    for number in range(3):
        with tarfile.open(shards / f"{number}.tar", "w") as tar:
            for place, (image, text) in enumerate(pairs[number * 8 : number * 8 + 8]):
                name = f"{number}{place}"
                Path(f"{name}.txt").write_text(text)
                shutil.copyfile(image, f"{name}.png")
                if name == "13":
                    Path(f"{name}.png").write_bytes(b"broken")
                for suffix in ("png", "txt"):
                    tar.add(f"{name}.{suffix}")
    manifest.write(layout.raw("scenes"), "scenes")  # they belong to the download
    sharded = job(dataset={"name": "tars", "task": "captioning", "source": "scenes", "shards": "shards"})
    streamed = vlkd.pairs(sharded, student, settings.model_copy(update={"shuffle_window": 10}), **at)
    assert "24 pairs are streamed" in caplog.text
    by_text = {text: row for row, text in enumerate(rows["text"])}
    texts = set()
    for batch in streamed.batches(range(3)):
        for row, tokens in enumerate(batch.inputs.tokens):
            text = student.tokenizer.decode(tokens, skip_special_tokens=True)
            texts.add(text)
            t = teacher.embed_texts([rows["text"][by_text[text]]])[0][0] if text in by_text else None
            if t is not None:
                torch.testing.assert_close(
                    batch.extra["t"][row], torch.from_numpy(t / np.linalg.norm(t)), atol=1e-5, rtol=1e-4
                )
    assert len(texts) > 15
    assert "the image of pair 13 is left out" in caplog.text
    again = vlkd.pairs(sharded, student, settings.model_copy(update={"shuffle_window": 10}), **at)
    for name, tensor in next(again.batches([2])).tensors().items():  # reached without the batches before
        assert torch.equal(tensor, next(streamed.batches([2])).tensors()[name]), name


def test_processes_share_a_streamed_batch_without_overlap(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.read_parquet(layout.instances("scenes_wide_captions")).filter(pl.col("split") == "train").head(20)
    lines = [f"{text}\t{Path(path).name}" for path, text in rows.select("image_path", "text").iter_rows()]
    (layout.raw("scenes") / "pairs.tsv").write_text("\n".join(lines) + "\n")
    manifest.write(layout.raw("scenes"), "scenes")
    dataset = {"name": "tsv", "task": "captioning", "source": "scenes", "tsv": "pairs.tsv", "images": "images/train"}
    teacher = clip.ClipTeacher(conf("teacher/clip_scenes"))
    student = bart.build(job()["student"], teacher.dim, 1)

    def masked(share: slice) -> list[list[int]]:
        monkeypatch.setattr(caption_batches.distributed, "share", lambda: share)
        settings = objective.checked(conf("method/vlkd"), 10)
        batches = vlkd.pairs(job(dataset=dataset), student, settings, teacher, 1, 8, torch.device("cpu"))
        batch = next(batches.batches([1]))
        return [[t for t in row if t] for row in batch.extra["masked"].tolist()]

    whole, first, second = (masked(slice(*part)) for part in ((None,), (0, None, 2), (1, None, 2)))
    assert len(whole) == 8
    assert (first, second) == (whole[0::2], whole[1::2])  # the same pairs, masked alike, each in one process


def test_a_template_around_captions_is_refused(project: Path) -> None:
    wrong = job(teacher=conf("teacher/clip_scenes") | {"template": "a photo of a {}"})
    with pytest.raises(UserError, match="VLKD compares whole captions"):
        seeds.train_seeds(wrong)


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
