"""The targets of a training split: selected words, confidence weights and soft answers, from a teacher's features.

At the size of VQA v2 this is minutes of CPU time, so it is done before training, on machines without a GPU, once for
all variants that ask for the same (`config.targets`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from vlkd_steps.core.errors import UserError
from vlkd_steps.core.seeds import derive
from vlkd_steps.data import loader
from vlkd_steps.data.items import Items
from vlkd_steps.data.words import content_words, split_words
from vlkd_steps.teachers.targets import confidence, relevance, soft_answers, visual_words
from vlkd_steps.teachers.targets.cross_fit import Features
from vlkd_steps.teachers.targets.target_file import Targets


def compute(
    wanted: Mapping[str, Any], items: Items, store: Any, seed: int, visual: Collection[str] = frozenset()
) -> Targets:
    """What `wanted` asks for, of the training split `items`.

    Args:
        wanted: ``words``: the settings of the selection, or None; ``weights``: those of the weights, or None;
            ``answers``: those of the soft answers, where they are wanted.
        store: the teacher's `FeatureStore`, or its two (`TeacherPair`).
        seed: of the run.
        visual: the visual words of the data set, lower-cased, by which a selection is measured; empty: not known.

    Raises:
        UserError: words are to be selected and no text has any, or relevance is a cosine, and the teachers share no
            space.
    """
    weights = _weights(wanted["weights"], items, store, seed) if wanted["weights"] else {}
    answers = _answers(wanted["answers"], items, store, seed) if wanted.get("answers") else None
    if not wanted["words"]:
        return Targets(weights=weights, answers=answers)
    if not any(map(split_words, items.texts)):
        raise UserError(
            f"no text to train on has a word of the letters a to z (such as {items.texts[0][:60]!r}), so that no token "
            "can be selected; leave `tokens` out of the method's `targets`"
        )
    texts = [items.texts[row] for row in items.text_rows.tolist()]
    words_of = {text: list(dict.fromkeys(content_words(text))) for text in items.texts}
    by = _relevance(wanted["words"].get("relevance"), texts, items, store, seed)
    observed = visual_words.Observed(by)
    selected = _words(wanted["words"], texts, observed if visual else by, seed)
    return Targets(
        selected,
        np.array([len(words_of[text]) for text in texts], np.int64),
        weights,
        answers,
        visual_words.measure(visual, words_of, texts, selected, observed) if visual else None,
    )


def _words(wanted: Mapping[str, Any], texts: Sequence[str], by: relevance.Relevance, seed: int) -> list[list[str]]:
    return relevance.select(
        texts,
        by,
        selection=wanted["selection"],
        m=wanted.get("tokens_per_text", 0),
        keyness_by=wanted.get("keyness", "idf"),
        generator_seed=derive(seed, "selection"),
    )


def _relevance(kind: str | None, texts: Sequence[str], items: Items, store: Any, seed: int) -> relevance.Relevance:
    """r of the items' words."""
    if kind is None:
        return relevance.unseen
    v, rows = store.images(items.image_ids), items.image_rows.numpy()
    if kind == "regression":
        return relevance.regression(texts, v, rows, _image_ids(items), derive(seed, "relevance"))
    if not getattr(store, "shared_space", True):
        raise UserError(
            f"relevance is {kind!r}, a cosine between images and words, but the teachers share no space; set "
            "relevance: regression, or name one CLIP for both"
        )
    cosines = relevance.cosines if kind == "plain" else relevance.centred_cosines
    return cosines(texts, v, rows, store)


def _weights(wanted: Mapping[str, Any], items: Items, store: Any, seed: int) -> dict[str, np.ndarray]:
    """``weight`` by both embeddings together, or ``weight_vision`` and ``weight_text`` by each alone."""
    if items.choices > 1:
        return _weights_of_choices(wanted["by"], items, store)
    image_rows, text_rows = items.image_rows.numpy(), items.text_rows.numpy()
    v, u = store.images(items.image_ids), store.texts(items.texts)
    together = confidence.both(v, image_rows, u, text_rows)
    image, text = confidence.alone(v, image_rows), confidence.alone(u, text_rows)
    soft, images, threads = sparse_labels(items), _image_ids(items), max(1, loader.workers(idle=True))

    def weighed(by: Callable[..., np.ndarray], *seen: Features, of: Sequence[str] = ()) -> np.ndarray:
        return by(*seen, soft, images, derive(seed, "confidence", *of), wanted["probe_items"], threads)

    if wanted["by"] == "both":
        return {"weight": weighed(confidence.weights, together)}
    if wanted["by"] == "margin":
        return {"weight": weighed(confidence.margin_weights, together, text)}
    by = confidence.weights if wanted["by"] == "each" else confidence.weights_above_prior
    return {
        "weight_vision": weighed(by, image, of=["vision"]),
        "weight_text": weighed(by, text, of=["text"]),
    }


def _weights_of_choices(by: str, items: Items, store: Any) -> dict[str, np.ndarray]:
    """Those of items with choices (VCR), whose label is the index of the right one. On it the image alone, or the query
    with the right choice, has no information, so each alone weighs 1 (choice)."""
    if by not in ("both", "margin"):
        return {f"weight_{name}": np.ones(len(items), np.float32) for name in ("vision", "text")}
    weights = confidence.choice_weights if by == "both" else confidence.choice_margin_weights
    return {"weight": weights(_of_choices(items, store), items.right_choices().numpy())}


def _answers(wanted: Mapping[str, Any], items: Items, store: Any, seed: int) -> soft_answers.SoftAnswers:
    """Of items with choices (VCR) the softmax of the teacher's own cosines, which no probe is fitted for."""
    if items.choices > 1:
        return soft_answers.of_choices(_of_choices(items, store))
    return soft_answers.by_probe(
        confidence.both(
            store.images(items.image_ids), items.image_rows.numpy(), store.texts(items.texts), items.text_rows.numpy()
        ),
        sparse_labels(items),
        _image_ids(items),
        derive(seed, "confidence"),
        wanted["probe_items"],
        wanted["kept"],
        max(1, loader.workers(idle=True)),
    )


def _of_choices(items: Items, store: Any) -> np.ndarray:
    """The teacher's probability of each choice, float64 [N, A]."""
    v, image_rows = store.images(items.image_ids), items.image_rows.numpy()
    return confidence.choice_probabilities(
        lambda here: v[image_rows[here]],
        lambda here: store.texts(items.passages.texts(here)),
        items.passage_rows.numpy(),
        store.temperature,
    )


def sparse_labels(items: Items) -> sparse.csr_matrix:
    """The scores of the items' answers, float64 [N, C]."""
    ids, scores = items.label_ids.numpy(), items.label_scores.numpy()
    row, column = np.nonzero(scores)
    entries = (scores[row, column].astype(np.float64), (row, ids[row, column]))
    return sparse.csr_matrix(entries, shape=(len(items), len(items.labels)))


def _image_ids(items: Items) -> list[str]:
    return [items.image_ids[row] for row in items.image_rows.tolist()]
