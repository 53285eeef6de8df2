"""What an aligned BART knows without having seen a question: zero-shot answers, captions, retrieval, kept ability.

    python benchmarks/vlkd_scenes.py NAME=model.safetensors ... [--set test]

Run it in a project folder in which scenes_vqa and scenes_wide_captions are prepared, split and extracted and
``models/bart_scenes`` is pre-trained (`snakemake`, or the steps by hand). NAME=FILE are runs of
`training.one_alignment`. Beside them stand the same BART before VLKD, which is blind, CLIP alone ranking the list of
answers, and the most frequent training answer. All by the official VQA soft accuracy and pycocoevalcap.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import yaml
from torch.nn import functional

from vlkd_steps import layout
from vlkd_steps.evaluation import captioning, retrieval, vqa
from vlkd_steps.students import bart, generation
from vlkd_steps.students.prompts import CAPTION, MASK, QUESTION, SENSITIVITY, Prompt
from vlkd_steps.teachers import clip
from vlkd_steps.teachers.zero_shot_vqa import PROMPTS
from vlkd_steps.training import kept_ability
from vlkd_steps.training.one_alignment import Eyes

CONF = Path(__file__).resolve().parent.parent / "vlkd_steps" / "conf"
SEED = 2022


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="NAME=FILE")
    parser.add_argument("--set", default="test")
    given = parser.parse_args()
    torch.set_num_threads(1)
    teacher = clip.ClipTeacher(yaml.safe_load((CONF / "teacher" / "clip_scenes.yaml").read_text(encoding="utf-8")))
    eyes, asked = Eyes(teacher), rows_of("scenes_vqa", given.set)
    labels = json.loads(layout.labels("scenes_vqa").read_text(encoding="utf-8"))
    scorer = vqa.Scorer(asked)

    def accuracy(answers: list[str]) -> float:
        found: float = scorer.metrics(scorer.score(pl.DataFrame({"answer": answers})))["accuracy"]
        return found

    v = eyes(asked["image_path"].to_list())
    table = pl.read_parquet(layout.instances("scenes_vqa")).filter(pl.col("split") == "train")
    commonest = Counter(json.loads(extra)["multiple_choice_answer"] for extra in table["extra"]).most_common(1)[0][0]
    print(f"most frequent answer ({commonest}): {accuracy([commonest] * len(asked))}")
    candidates = np.stack([unit(teacher.embed_texts([p.format(a) for p in PROMPTS])[0]).mean(0) for a in labels])
    best = (v.numpy() @ unit(candidates).T).argmax(1)
    print(f"CLIP alone, nearest of the {len(labels)} answers: {accuracy([labels[i] for i in best])}")

    student = yaml.safe_load((CONF / "student" / "bart_scenes.yaml").read_text(encoding="utf-8"))
    blind = bart.build({**student, "pretrained": True}, teacher.dim, 0).eval()
    measure("BART before VLKD (blind)", blind, None, asked, accuracy, labels)
    for run in given.runs:
        name, _, file = run.partition("=")
        model = bart.load(Path(file))
        measure(name, model, v, asked, accuracy, labels)
        describe(model, eyes, given.set)


def measure(name: str, model: bart.BartStudent, v: Any, asked: pl.DataFrame, accuracy: Any, labels: list[str]) -> None:
    """Print accuracies, open and from the list, over the prompts; and the abilities with text alone."""
    questions = asked["text"].to_list()
    found = {key: accuracy(generation.write(model, v, Prompt.of(p), questions)) for key, p in SENSITIVITY.items()}
    listed = accuracy(generation.write(model, v, Prompt.of(QUESTION), questions, answers=labels))
    print(f"{name}: open {found['question_answer']}, from the list {listed}")
    spread = np.array(list(found.values()))
    print(f"  prompts {found}: mean {spread.mean():.2f}, sd {spread.std(ddof=1):.2f}")
    kept = kept_ability.on_scenes(model, SEED)
    print(
        f"  kept ability: infilling {kept['infilling']:.3f} nats a token, entailment probe {kept['entailment']:.1f} %"
    )


def describe(model: bart.BartStudent, eyes: Eyes, evaluation_set: str) -> None:
    """Print caption metrics and retrieval on the captions of the same scenes."""
    rows = rows_of("scenes_wide_captions", evaluation_set)
    images = rows.unique("image_id", keep="first", maintain_order=True)
    v = eyes(images["image_path"].to_list())
    references: dict[str, list[str]] = {}
    for image, text in rows.select("image_id", "text").iter_rows():
        references.setdefault(image, []).append(text)
    for prompt in (CAPTION, MASK):  # behind the bare mask a caption is written as from one that was masked whole
        written = generation.write(model, v, Prompt.of(prompt), [""] * len(images))
        said = dict(zip(images["image_id"], written, strict=True))
        print(f"  captions, zero-shot, {prompt}: {captioning.score(references, said).metrics}")
    places = {image: number for number, image in enumerate(images["image_id"])}
    e = embeddings(model, rows["text"].to_list())
    print(f"  retrieval by e: {retrieval.recall(e, v.numpy(), [places[image] for image in rows['image_id']])}")
    t = functional.normalize(torch.from_numpy(eyes.teacher.embed_texts(rows["text"].to_list())[0]), dim=1).numpy()
    print(f"  retrieval by t: {retrieval.recall(t, v.numpy(), [places[image] for image in rows['image_id']])}")


@torch.inference_mode()
def embeddings(model: bart.BartStudent, texts: list[str]) -> np.ndarray:
    parts = []
    for start in range(0, len(texts), 256):
        coded = model.tokenizer(texts[start : start + 256], padding=True, return_tensors="pt")
        parts.append(model.embed(model.encode(coded.input_ids, coded.attention_mask), coded.attention_mask))
    return torch.cat(parts).numpy()


def rows_of(dataset: str, evaluation_set: str) -> pl.DataFrame:
    ids = pl.read_parquet(layout.eval_split(dataset, evaluation_set), columns=["instance_id"])
    return ids.join(pl.read_parquet(layout.instances(dataset)), on="instance_id", how="left", maintain_order="left")


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
