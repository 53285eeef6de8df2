"""How well the probe of the confidence weights answers held-out items, by the strength of its penalty.

    cd PROJECT && python .../benchmarks/probe.py [--dataset scenes_vqa] [--teacher clip_scenes] [--shots 100 300 1000]
                                                 [--seeds 0 1 10] [--of both]

In a project with splits and features (`snakemake -- all_split all_extract`). Each item is answered by the probe of the
four folds that do not hold its image. Printed are accuracy, log loss and seconds of the five folds, means over seeds;
``former`` is scikit-learn's probe (C = 1, features not standardised, 200 steps), as it was used before, ``prior`` the
shares of the answers.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from vlkd_steps.core import artifacts, layout
from vlkd_steps.data.items import read_items
from vlkd_steps.teachers.features.store import FeatureStore
from vlkd_steps.teachers.targets import compute, confidence, cross_fit, probe

STRENGTHS = (1, 3, 10, 30, 100)
Answer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Features and labels [N, C] of the training folds, features of the held-out one -> probabilities [M, C]."""


def prior(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    return np.tile(labels.mean(0), (len(held_out), 1))


def former(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    row, label = np.nonzero(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=1.0, max_iter=200, tol=1e-3).fit(features[row], label, labels[row, label])
    probability = np.zeros((len(held_out), labels.shape[1]))
    probability[:, fitted.classes_] = fitted.predict_proba(held_out)
    return probability


def present(strength: float) -> Answer:
    def answer(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        probe.C = strength
        return probe.fit(features, sparse.csr_matrix(labels)).probabilities(held_out)

    return answer


def measured(dataset: str, teacher: str, shot: str, seed: int, of: str, answers: dict[str, Answer]) -> np.ndarray:
    """Accuracy, log loss and seconds [answers, 3]."""
    split = layout.train_split(dataset, shot, seed)
    items = read_items(artifacts.instances(dataset), split, artifacts.labels(dataset))
    store = FeatureStore.open(layout.features(teacher, dataset))
    images, texts = items.image_rows.numpy(), items.text_rows.numpy()
    v, u = store.images(items.image_ids), store.texts(items.texts)
    seen = {
        "both": confidence.both(v, images, u, texts),
        "image": confidence.alone(v, images),
        "text": confidence.alone(u, texts),
    }
    features, soft = seen[of](np.arange(len(items))), compute.sparse_labels(items).toarray()
    fold = cross_fit.folds([items.image_ids[row] for row in images], seed)
    soft = soft[:, (np.stack([(soft[fold != k] > 0).sum(0) for k in range(cross_fit.FOLDS)]) > 0).all(0)]
    known = soft.sum(1) > 0
    features, soft, fold = features[known], soft[known], fold[known]
    labels = soft / soft.sum(1, keepdims=True)
    found = []
    for answer in answers.values():
        started, probability = time.perf_counter(), np.zeros(labels.shape)
        for k in range(cross_fit.FOLDS):
            probability[fold == k] = answer(features[fold != k], labels[fold != k], features[fold == k])
        right = soft[np.arange(len(soft)), probability.argmax(1)].mean()
        loss = -(labels * np.log(np.maximum(probability, 1e-12))).sum(1).mean()
        found.append((100 * right, loss, time.perf_counter() - started))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="scenes_vqa")
    parser.add_argument("--teacher", default="clip_scenes")
    parser.add_argument("--shots", nargs="+", default=["100", "300", "1000"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 10])
    parser.add_argument("--of", choices=("both", "image", "text"), default="both", help="what the probe sees")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    answers: dict[str, Answer] = {"prior": prior, "former": former} | {f"C = {c}": present(c) for c in STRENGTHS}
    for shot in chosen.shots:
        runs = [measured(chosen.dataset, chosen.teacher, shot, seed, chosen.of, answers) for seed in chosen.seeds]
        for name, (right, loss, seconds) in zip(answers, np.mean(runs, axis=0), strict=True):
            print(f"{chosen.dataset} {chosen.of} {shot:>5} {name:<8} {right:5.1f} % {loss:6.3f} {seconds:6.1f} s")


if __name__ == "__main__":
    main()
