"""What a training split's targets cost: seconds and peak memory of selection and confidence weights at a given size.

    python benchmarks/targets.py [--items 20000] [--workers 2] [--probe-items 10000] [--former 2000]

Words are selected twice, the second time measured by visual words (`teachers.targets.visual_words`).

The data are generated, VQA v2 in shape: `--items` questions with 3,129 answers, features 512 wide, 5.4 questions an
image, a third of the questions distinct (`--distinct` says otherwise). `clip_td`'s shipped settings. The former way
(dense labels, scikit-learn on hard copies of the items) is run beside the present one at the size `--former`.
"""

import argparse
import os
import resource
import time
import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from vlkd_steps.data import loader
from vlkd_steps.data.items import Items
from vlkd_steps.data.passages import Passages
from vlkd_steps.data.words import content_words
from vlkd_steps.teachers.targets import compute, confidence, cross_fit

CLASSES, WIDTH = 3129, 512
PER_IMAGE = 5.4
PROBE_ITEMS = 10_000
WANTED = {
    "words": {"selection": "both", "tokens_per_text": 2, "keyness": "idf", "relevance": "centred"},
    "weights": {"by": "both", "probe_items": PROBE_ITEMS},
}


class Store:
    """Features of generated images, texts and words: a class's direction with noise, all in one narrow cone."""

    def __init__(self, items: Items, generator: np.random.Generator) -> None:
        centres = generator.normal(size=(CLASSES, WIDTH)).astype(np.float32)
        answers = items.label_ids[:, 0].numpy()
        self.generator = generator
        self.v = self._near(centres, answers, items.image_rows.numpy(), len(items.image_ids))
        self.u = self._near(centres, answers, items.text_rows.numpy(), len(items.texts))
        self.known: dict[str, np.ndarray] = {}

    def _near(self, centres: np.ndarray, answers: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
        of = np.zeros(count, np.int64)
        of[rows] = answers
        drawn = self.generator.normal(size=(count, WIDTH)).astype(np.float32)
        drawn += 0.7 * centres[of] + 3
        return drawn

    def images(self, image_ids: Any) -> np.ndarray:
        return self.v

    def texts(self, texts: Any) -> np.ndarray:
        return self.u

    def words(self, words: Any) -> np.ndarray:
        return self.generator.normal(size=(len(words), WIDTH)).astype(np.float32)


def split(n: int, distinct: float, generator: np.random.Generator) -> Items:
    """Questions of 4 to 9 words out of 12,000, answers by a long-tailed distribution, up to four an item."""
    rare = 1 / np.arange(1, CLASSES + 1)
    label_ids = generator.choice(CLASSES, (n, 4), p=rare / rare.sum())
    label_ids[:, 1:] = (label_ids[:, :1] + [[1, 2, 3]]) % CLASSES
    label_scores = np.tile(np.array([1.0, 0.6, 0.3, 0.0], np.float32), (n, 1))
    label_scores[generator.random(n) < 0.5, 1:] = 0
    label_ids[label_scores == 0] = CLASSES
    common = 1 / np.arange(1, 12_001)
    number, lengths = max(1, int(n * distinct)), generator.integers(3, 9, max(1, int(n * distinct)))
    drawn = generator.choice(12_000, lengths.sum(), p=common / common.sum())
    parts = np.split(drawn, np.cumsum(lengths)[:-1])
    texts = [f"what {' '.join(f'{WORDS[w % len(WORDS)]}{w}' for w in part)} is {k}?" for k, part in enumerate(parts)]
    images = max(1, int(n / PER_IMAGE))
    text_rows = torch.from_numpy(generator.permutation(np.arange(n) % number))
    image_rows = torch.from_numpy(generator.permutation(np.arange(n) % images))
    return Items(
        ids=[str(k) for k in range(n)], image_ids=[f"i{k}" for k in range(images)], image_paths=[],
        image_rows=image_rows, passages=Passages(texts, np.arange(number)[:, None]), passage_rows=text_rows[:, None],
        texts=texts, text_rows=text_rows, text_passages=np.arange(number),
        label_ids=torch.from_numpy(label_ids), label_scores=torch.from_numpy(label_scores),
        labels=[str(k) for k in range(CLASSES)],
    )  # fmt: skip


WORDS = ("table", "man", "dress", "kite", "street", "color", "red", "dog")


def former(items: Items, store: Store) -> None:
    """Dense labels, and scikit-learn's probe on an item for each of its answers, 200 steps at most."""
    soft = np.asarray(items.soft_labels().numpy(), np.float64)
    rows, texts = items.image_rows.numpy(), items.text_rows.numpy()
    features = confidence.probe_features(store.v[rows], store.u[texts])
    fold = cross_fit.folds([items.image_ids[row] for row in rows], 0)
    in_all = (np.stack([(soft[fold != k] > 0).sum(0) for k in range(cross_fit.FOLDS)]) > 0).all(0)
    masked = np.where(in_all, soft, 0.0)
    for k in range(cross_fit.FOLDS):
        train = np.flatnonzero((fold != k) & (masked.sum(1) > 0))[:PROBE_ITEMS]
        row, label = np.nonzero(masked[train])
        weight = (masked[train] / masked[train].sum(1, keepdims=True))[row, label]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LogisticRegression(C=1.0, max_iter=200, tol=1e-3).fit(features[train][row], label, weight)
        fitted.predict_proba(features[fold == k])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--distinct", type=float, default=1 / 3, help="share of the questions that are distinct")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--probe-items", type=int, default=PROBE_ITEMS)
    parser.add_argument("--former", type=int, default=2000, help="items of the comparison with the former way; 0: none")
    arguments = parser.parse_args()
    WANTED["weights"]["probe_items"] = arguments.probe_items
    os.environ[loader.VARIABLE] = str(arguments.workers)
    torch.set_num_threads(1)
    if arguments.former:
        items, store = made(arguments.former, arguments.distinct)
        seconds = [timed(lambda: former(items, store)), timed(lambda: part(items, store, words=False))]
        print(f"weights of {arguments.former:,} items: the former way {seconds[0]:.1f} s, now {seconds[1]:.1f} s")
    items, store = made(arguments.items, arguments.distinct)
    before = peak()
    visual = frozenset(word for text in items.texts for word in content_words(text)[:2])
    for name, words, known in (("words", True, ()), ("measured", True, visual), ("weights", False, ())):
        cpu = cpu_seconds()
        seconds_of = timed(lambda words=words, known=known: part(items, store, words, known))
        cpu = cpu_seconds() - cpu
        print(
            f"{name:<8} {len(items):,} items, {len(items.texts):,} distinct texts: {seconds_of:.1f} s, "
            f"of CPU {cpu:.1f} s; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    print(f"peak memory {peak():.2f} GiB ({before:.2f} before the work)")


def made(n: int, distinct: float) -> tuple[Items, Store]:
    generator = np.random.default_rng(0)
    items = split(n, distinct, generator)
    return items, Store(items, generator)


def part(items: Items, store: Store, words: bool, visual: Collection[str] = ()) -> None:
    name = "words" if words else "weights"
    compute.compute({"words": None, "weights": None} | {name: WANTED[name]}, items, store, seed=0, visual=visual)


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def cpu_seconds() -> float:
    """Of this process, its threads and the children that have ended."""
    return sum(os.times()[:4])


def peak() -> float:
    """GiB of this process and its largest child."""
    return sum(resource.getrusage(of).ru_maxrss for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20


if __name__ == "__main__":
    main()
