"""The official VQA soft accuracy, with every quirk of its code: docs/papers.md, "VQA soft accuracy".

Source: GT-Vision-Lab/VQA, `PythonEvaluationTools/vqaEvaluation/vqaEval.py` at a013f00 (**stated**). Older revisions
differ: they normalise the prediction always, and the references by punctuation alone.

Example:
    >>> records = [{"answer_id": i, "answer": "2" if i < 3 else "three"} for i in range(10)]
    >>> round(soft_accuracy("two", records), 2)  # 7 of the 10 leave-one-out subsets keep all three "2"
    0.9
"""

import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics.percentages import by, percent

ANSWERS = 10
"""Annotators per question. The official accuracy is defined over ten leave-one-out subsets."""
TEN = f"give every answer an answer_id of its own, 1 to {ANSWERS}; repeat a single gold answer with each of them"

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'  # neither ':' nor the apostrophe
ARTICLES = frozenset({"a", "an", "the"})
NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(NUMBER_WORDS)}

_MARK = re.compile(f"[{re.escape(PUNCTUATION)}]")
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
# The official look-behind is mistyped and always true, so only the character behind the full stop matters.
_FULL_STOP = re.compile(r"\.(?!\d)")
_MOST_FULL_STOPS = 32  # re.UNICODE, which the official code passes as `count`

# The official table holds each of these under every spelling that lacks one of its apostrophes ("y'all'd've" under
# "yall'd've", "y'alld've" and "y'all'dve"). Left out, as no lower-cased word can meet them: Im, Ive, Id've, I'dve.
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:index] + word[index + 1 :] for index, character in enumerate(word) if character == "'"]


CONTRACTIONS = {spelling: word for word in _CONTRACTED.split() for spelling in _without_one_apostrophe(word)}
CONTRACTIONS["somebody'd"] = "somebodyd"  # the official entry is reversed

_CHANGED = frozenset({*NUMBERS, *ARTICLES, *CONTRACTIONS})


def process_punctuation(answer: str) -> str:
    """Delete or space out punctuation, then drop full stops that no digit follows.

    A mark is deleted when it is next to a space *anywhere* in the answer, or when the answer holds digit, comma,
    digit anywhere; otherwise it becomes a space. Both tests look at the original answer. At most 32 full stops go.
    """
    text = answer
    marks = _MARK.findall(answer)
    if marks:
        delete_all = _DIGIT_COMMA_DIGIT.search(answer) is not None
        for mark in set(marks):
            delete = delete_all or f"{mark} " in answer or f" {mark}" in answer
            text = text.replace(mark, "" if delete else " ")
    return _FULL_STOP.sub("", text, count=_MOST_FULL_STOPS) if "." in text else text


def process_digit_article(answer: str) -> str:
    """Lower-case, write numbers up to ten as digits ("none" is 0), drop articles, restore apostrophes."""
    words = answer.lower().split()
    if not _CHANGED.isdisjoint(words):
        words = [NUMBERS.get(word, word) for word in words]
        words = [CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES]
    return " ".join(words)


@functools.lru_cache(maxsize=1 << 16)
def preprocess(answer: str) -> str:
    """An answer as the answer vocabulary and non-unanimous questions see it: punctuation first, then words."""
    return process_digit_article(process_punctuation(answer))


@functools.lru_cache(maxsize=1 << 16)
def strip(answer: str) -> str:
    """Newlines and tabs become spaces, ends are stripped: done to every answer, also of unanimous questions."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


class References(NamedTuple):
    """What each answer to one question is worth; any answer that no annotator gave is worth 0.

    Attributes:
        answers: the annotators', normalised as this question demands.
        alike: how many records equal each one, itself included; None where no two are equal.
        unanimous: all annotators wrote the same, so that nothing is normalised, in the prediction either.
    """

    answers: Sequence[str]
    alike: Sequence[int] | None
    unanimous: bool

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> "References":
        """Read the official answer records of one question (usually ten), each with an `answer`.

        "Leave one out" drops every record that *equals* the one left out (in the normalised answer and all other
        fields), so records with the same id and the same answer vanish together.

        Raises:
            ValueError: there is no record.
        """
        if not records:
            raise ValueError("a question without answer records has no accuracy")
        given = [record["answer"] for record in records]
        forms = {answer: strip(answer) for answer in set(given)}
        unanimous = len(set(forms.values())) == 1
        if not unanimous:
            forms = {answer: preprocess(text) for answer, text in forms.items()}
        answers = [forms[answer] for answer in given]
        return cls(answers, _alike(answers, records), unanimous)

    def score(self, prediction: str) -> float:
        """Soft accuracy in [0, 1] of a predicted answer, not rounded."""
        text = strip(prediction)
        if not self.unanimous:
            text = preprocess(text)
        if text not in self.answers:
            return 0.0
        if self.alike is None:
            return _leave_one_out(tuple([answer == text for answer in self.answers]))
        gone = zip(self.answers, self.alike, strict=True)
        return _leave_one_out(tuple([times if answer == text else 0 for answer, times in gone]))


@functools.lru_cache(maxsize=1 << 12)  # ten distinct records have 1,024 such tuples
def _leave_one_out(gone: tuple[int, ...]) -> float:
    """The mean over the subsets, summed in the records' order.

    Args:
        gone: for each record that holds the answer, how many records with it its subset lacks; 0 for all others.
    """
    count = sum(1 for each in gone if each)
    return sum(min(1.0, (count - each) / 3) for each in gone) / len(gone)


def _alike(answers: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Sequence[int] | None:
    """How many records equal each one, itself included, once their answers are normalised; None: all differ."""
    if all_differ(records):
        return None  # as it nearly always is
    normalised = [{**record, "answer": answer} for answer, record in zip(answers, records, strict=True)]
    return [normalised.count(record) for record in normalised]  # by ==, as the official code: 1, 1.0 and True are equal


def all_differ(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no two records can be equal, whatever their answers: by their ids."""
    try:
        return len({record.get("answer_id") for record in records}) == len(records)
    except TypeError:  # an id that is a list or an object
        return False


def fault(records: Sequence[Mapping[str, Any]]) -> str:
    """Why a question's answer records have no meaningful accuracy, or empty; `TEN` says what to write.

    Without ids, or with one id for all, equal answers count as one annotator's, and all are left out together: ten
    such records make every answer worth 0. Equal records among others with ids are the official code's to judge.
    """
    if len(records) != ANSWERS:
        return f"has {len(records)} answers, the official metric is defined over {ANSWERS}"
    if all_differ(records):
        return ""
    of_one = all(each.get("answer_id") == records[0].get("answer_id") for each in records)
    if of_one and max(References.of(records).alike or [1]) > 1:
        return "has equal records without different answer_id, which the official metric leaves out together"
    return ""


def soft_accuracy(prediction: str, records: Sequence[Mapping[str, Any]]) -> float:
    """Soft accuracy in [0, 1] of one answer: the mean over the leave-one-out subsets of min(1, matches / 3).

    The official evaluator prints 100 times the mean over questions, rounded to two decimals.
    """
    return References.of(records).score(prediction)


def soft_accuracies(texts: Sequence[str], references: Sequence[int], predicted: Sequence[int]) -> pl.Series:
    """`soft_accuracy` of many questions, equal to the last bit, for records of which no two are equal.

    Args:
        texts: every answer that somebody gave, once.
        references: which of them the ten records of the first question hold, then those of the second, ..., [10 N].
        predicted: which of them is predicted, [N].

    Returns:
        float64 [N].
    """
    stripped = list(map(strip.__wrapped__, texts))  # each once: nothing to remember
    forms = [_numbered(stripped), _numbered(list(map(preprocess.__wrapped__, stripped)))]
    place = pl.int_range(len(references), eager=True)
    question, record = place // ANSWERS, place % ANSWERS
    given, answered = pl.Series(references), pl.Series(predicted).gather(question)
    as_given, normalised = (form.gather(given) == form.gather(answered) for form in forms)
    unanimous = forms[0].gather(given).reshape((-1, ANSWERS)).arr.n_unique() == 1
    hits = as_given.zip_with(unanimous.gather(question), normalised)
    bits = pl.Series([1 << number for number in reversed(range(ANSWERS))]).gather(record)
    worth = pl.Series([_leave_one_out(hit) for hit in itertools.product((0, 1), repeat=ANSWERS)])
    return worth.gather((hits.cast(pl.Int64) * bits).reshape((-1, ANSWERS)).arr.sum())


def _numbered(texts: Sequence[str]) -> pl.Series:
    """A number for each text, the same for equal ones."""
    return pl.Series(texts, dtype=pl.Categorical).to_physical()


class Scorer:
    """The VQA metric over one evaluation set.

    Args:
        instances: the set's rows, as `prepare` wrote them (`extra` holds the official answer records).
    """

    def __init__(self, instances: pl.DataFrame) -> None:
        self.instances = instances
        self.references: list[References] = []
        for instance_id, extra in instances.select("instance_id", "extra").iter_rows():
            records = json.loads(extra or "{}").get("answers")
            if not records:
                raise UserError(
                    f"instance {instance_id} has no annotator answers in its field `extra`, so its accuracy is not "
                    "defined; leave it out of the evaluation set or add the answers to the annotation file"
                )
            self.references.append(References.of(records))

    def score(self, predictions: pl.DataFrame) -> list[float]:
        """Soft accuracy in [0, 1] of each row of `predictions` (column `answer`), in the order of the instances."""
        return [
            references.score(answer) for references, answer in zip(self.references, predictions["answer"], strict=True)
        ]

    def metrics(self, scores: Sequence[float]) -> dict[str, Any]:
        """Percentages rounded to two decimals, as the official evaluator prints them."""
        table = self.instances.select("group", "answer_type").with_columns(pl.Series("score", scores, pl.Float64))
        return {
            "accuracy": percent(table["score"]),
            "by_answer_type": by(table, "answer_type"),
            "by_question_type": by(table, "group"),
        }
