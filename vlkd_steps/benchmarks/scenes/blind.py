"""What can be guessed from the text or the image alone: the leakage of a written benchmark.

    python -m vlkd_steps.benchmarks.scenes.blind data/raw/scenes SEED

trains classifiers of scikit-learn on the split `train` and prints their accuracy on `test` in percent.
Chance is 33.3 for hypotheses. SEED is the seed that the folder was written with (true attributes are drawn
again from it).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from vlkd_steps.benchmarks.scenes import drawing, world
from vlkd_steps.benchmarks.scenes.write import Split, blocks, splits
from vlkd_steps.core import image_file, records
from vlkd_steps.core.terminal import say

Labels = Sequence[str]


def text_only(texts: Sequence[str], labels: Labels, test_texts: Sequence[str], test_labels: Labels) -> float:
    """Accuracy 0..1 of logistic regression on runs of one to three words."""
    model = make_pipeline(CountVectorizer(ngram_range=(1, 3)), LogisticRegression(C=0.3, max_iter=300))
    return float(model.fit(texts, labels).score(test_texts, test_labels))


def image_only(features: np.ndarray, labels: Labels, test_features: np.ndarray, test_labels: Labels) -> float:
    """Accuracy 0..1 of a random forest; features are one row an item, equal for items of one image."""
    model = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    return float(model.fit(features, labels).score(test_features, test_labels))


def pixels(folder: Path, split: Split) -> np.ndarray:
    """Every image of a split at 12 x 12 pixels, uint8 [N, 432], by number."""
    paths = [folder / "images" / split.name / f"{split.file_stem(i)}.png" for i in range(split.images)]
    width = drawing.WIDTH // 4
    return np.stack(
        [np.asarray(image_file.read(path).resize((width, width), Image.Resampling.BOX)).ravel() for path in paths]
    )


def attributes(split: Split, seed: int) -> np.ndarray:
    """What every image truly holds, bool [N, 9 * 16 + 9]: colour, shape and size of each cell, and the cover."""
    rows = []
    for scenes in blocks(split, seed):
        cells = [
            values[..., None] == np.arange(len(names))
            for values, names in (
                (scenes.color, world.COLORS),
                (scenes.shape, world.SHAPES),
                (scenes.size, world.SIZES),
            )
        ]
        covers = scenes.cover[:, None] == np.arange(world.CELLS)
        rows.append(np.concatenate([*(cell.reshape(len(scenes), -1) for cell in cells), covers], axis=1))
    return np.concatenate(rows)


def hypotheses(folder: Path, split: Split) -> tuple[list[str], list[str], np.ndarray]:
    """Texts, gold labels and image numbers of a split's hypotheses."""
    pairs = [pair for _, pair in records.lines(folder / "snli_ve" / f"{split.name}.jsonl")]
    numbers = np.array([int(pair["Flickr30K_ID"]) - split.image_id(0) for pair in pairs])
    return [pair["sentence2"] for pair in pairs], [pair["gold_label"] for pair in pairs], numbers


def questions(folder: Path, split: Split) -> tuple[list[str], list[str], list[str]]:
    """Texts, most common answers and question types of a split's questions."""
    asked = list(records.array(folder / "vqa" / f"{split.name}_questions.json", "questions"))
    answered = list(records.array(folder / "vqa" / f"{split.name}_annotations.json", "annotations"))
    return (
        [record["question"] for record in asked],
        [record["multiple_choice_answer"] for record in answered],
        [record["question_type"] for record in answered],
    )


def measure(folder: Path, train: Split, test: Split, seed: int) -> dict[str, float]:
    """Blind accuracies in percent on `test` of classifiers that saw all of `train`."""
    texts, labels, images = hypotheses(folder, train)
    test_texts, test_labels, test_images = hypotheses(folder, test)
    found = {"hypotheses, text only": text_only(texts, labels, test_texts, test_labels)}
    for name, seen, test_seen in (
        ("pixels", pixels(folder, train), pixels(folder, test)),
        ("true attributes", attributes(train, seed), attributes(test, seed)),
    ):
        found[f"hypotheses, image only ({name})"] = image_only(
            seen[images], labels, test_seen[test_images], test_labels
        )
    asked, answers, types = questions(folder, train)
    test_asked, test_answers, test_types = questions(folder, test)
    found["questions, text only"] = text_only(asked, answers, test_asked, test_answers)
    for kind in sorted(set(types)):
        chosen = [i for i, name in enumerate(types) if name == kind]
        tested = [i for i, name in enumerate(test_types) if name == kind]
        found[f"questions, text only: {kind}"] = text_only(
            [asked[i] for i in chosen],
            [answers[i] for i in chosen],
            [test_asked[i] for i in tested],
            [test_answers[i] for i in tested],
        )
    return {name: 100 * value for name, value in found.items()}


def main(arguments: Sequence[str]) -> int:
    """Measure a folder written with the default sizes and print one line a classifier."""
    train, _, test, *_ = splits({})
    for name, accuracy in measure(Path(arguments[0]), train, test, int(arguments[1])).items():
        say(f"{accuracy:6.1f}  {name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
