import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlkd_steps.core.errors import UserError
from vlkd_steps.splits import planted_bias
from vlkd_steps.splits.statements import Statements

CUES = {"top": "entailment", "middle": "neutral", "bottom": "contradiction"}
LABELS = sorted(CUES.values())


def statements(number=900):
    words = list(CUES)
    texts = [f"There is a star in the {words[n % 3]} row." for n in range(number)]
    return Statements(
        [f"p{n}" for n in range(number)],
        [str(n) for n in range(number)],
        texts,
        [LABELS[(n // 3) % 3] for n in range(number)],
    )


def right(items, kept):
    chosen = [n for n, stays in enumerate(kept) if stays]
    agree = sum(CUES[items.texts[n].split()[-2]] == items.labels[n] for n in chosen)
    return agree / len(chosen)


@settings(max_examples=20)
@given(st.floats(0.05, 0.95))
def test_the_cue_is_right_as_often_as_configured(share):
    items = statements()
    kept = planted_bias.chosen(items, CUES, share)
    assert right(items, kept) == pytest.approx(share, abs=0.01)
    by_label = [sum(stays for stays, label in zip(kept, items.labels, strict=True) if label == one) for one in LABELS]
    assert max(by_label) - min(by_label) <= 4  # left out evenly


def test_what_stays_depends_on_ids_alone():
    items = statements()
    kept = dict(zip(items.ids, planted_bias.chosen(items, CUES, 0.8), strict=True))
    turned = Statements(*(list(column)[::-1] for column in (items.ids, items.images, items.texts, items.labels)))
    assert dict(zip(turned.ids, planted_bias.chosen(turned, CUES, 0.8), strict=True)) == kept


def test_the_choice_never_changes():
    """Computed once. A change of these ids changes every published set: raise VERSION with it."""
    items = statements(45)
    kept = zip(items.ids, planted_bias.chosen(items, CUES, 0.8), strict=True)
    assert planted_bias.VERSION == 1
    assert [name for name, stays in kept if stays] == [
        f"p{n}" for n in (0, 2, 3, 7, 11, 12, 13, 14, 15, 16, 20, 21, 25, 26, 29, 30, 34, 37, 38, 39, 43)
    ]


def test_statements_without_one_clear_cue_go():
    items = Statements(
        list("abcd"),
        list("1234"),
        ["in the top row", "in the top or the bottom row", "in a row", "top"],
        ["entailment", "entailment", "neutral", "neutral"],
    )
    assert planted_bias.chosen(items, CUES, 0.5) == [True, False, False, True]


@pytest.mark.parametrize(
    ("cues", "share", "message"),
    [
        ({}, 0.5, "a planted bias needs cues"),
        (CUES, 1.0, r"a planted bias needs cues \(word: label\) and a share in \(0, 1\)"),
        ({**CUES, "Top": "neutral"}, 0.5, "the cue 'Top' is in no text .* one word in lower case"),
        ({"at top": "neutral"}, 0.5, "the cue 'at top' is in no text"),
        ({"zebra": "neutral"}, 0.5, "the cues zebra are right in 0 of 0 items that hold one"),
    ],
)
def test_mistakes_are_explained(cues, share, message):
    with pytest.raises(UserError, match=message):
        planted_bias.chosen(statements(90), cues, share)
