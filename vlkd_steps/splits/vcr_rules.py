"""Rule-Singular and Rule-Plural: VCR items from which the shortcut "the right choice repeats the question's tag" is
removed (Ye & Kovashka, AAAI 2021): docs/papers.md, "VCR's rule sets".

In right choices a pronoun replaces the tag, in wrong ones the question's tag replaces any other. The rules
follow the authors' published sets in what looks like an oversight too: he/she count in any case but only
he/He/she/She are replaced, an unsorted group in a choice is not recognised, and `answer_orig` and `rationale_orig`
stay as they were.
"""

from collections.abc import Callable, Sequence
from typing import Any

from vlkd_steps.core.errors import UserError

Token = str | list[int]
Choice = Sequence[Token]
Record = dict[str, Any]
Rule = Callable[[Record], Record | None]

PERSON = "person"
HE = ("he", "his", "him", "He", "His", "Him")
SHE = ("she", "her", "hers", "She", "Her", "Hers")
DEFAULT_PRONOUN = "he"


def singular(record: Record) -> Record | None:
    """The record with its choices rewritten; None where the question does not mention exactly one person.

    Args:
        record: a labelled annotation in the official format; it is left as it is.

    Raises:
        UserError: the annotation has no labels.
    """
    objects, question = record["objects"], record["question"]
    if len(tags := _persons(question, objects)) != 1:
        return None
    tag = sorted(tags)

    def right(choice: Choice) -> list[Token]:
        if len(persons := _persons(choice, objects)) + len(_pronouns(choice)) != 1:
            return list(choice)
        return _named(choice, sorted(persons), _pronoun(choice, question))

    def wrong(choice: Choice) -> list[Token]:
        if len(persons := _persons(choice, objects)) + len(_pronouns(choice)) != 1:
            return list(choice)
        replaced = (sorted(persons), "he", "she", "He", "She")
        return [tag if token in replaced else token for token in choice]

    return _rewritten(record, right, wrong)


def plural(record: Record) -> Record | None:
    """The record with its choices rewritten; None where the question's tags are not one group of several persons.

    Args:
        record: a labelled annotation in the official format; it is left as it is.

    Raises:
        UserError: the annotation has no labels.
    """
    objects = record["objects"]
    if (group := _group(record["question"], objects)) is None:
        return None

    def right(choice: Choice) -> list[Token]:
        own = _group(choice, objects)
        return list(choice) if own is None else _named(choice, own, "they")

    def wrong(choice: Choice) -> list[Token]:
        replaced = (_group(choice, objects), "they", "They")
        return [group if token in replaced else token for token in choice]

    return _rewritten(record, right, wrong)


RULES: dict[str, Rule] = {"singular": singular, "plural": plural}


def _rewritten(
    record: Record, right: Callable[[Choice], list[Token]], wrong: Callable[[Choice], list[Token]]
) -> Record:
    if "answer_label" not in record or "rationale_label" not in record:
        raise UserError(f"{record['annot_id']} has no labels, so right and wrong choices are unknown; use val")
    changed = {}
    for kind in ("answer", "rationale"):
        gold = record[f"{kind}_label"]
        changed[f"{kind}_choices"] = [
            right(choice) if number == gold else wrong(choice)
            for number, choice in enumerate(record[f"{kind}_choices"])
        ]
    return {**record, **changed}


def _persons(tokens: Choice, objects: Sequence[str]) -> set[int]:
    return {tag for token in tokens if isinstance(token, list) for tag in token if objects[tag] == PERSON}


def _pronouns(tokens: Choice) -> set[str]:
    return {token.lower() for token in tokens if isinstance(token, str) and token.lower() in ("he", "she")}


def _pronoun(choice: Choice, question: Choice) -> str:
    """The gender that the choice's own words vote for; on a tie the question's vote too, then "he"."""
    he, she = _votes(choice, HE), _votes(choice, SHE)
    if he == she:
        he, she = he + _votes(question, HE), she + _votes(question, SHE)
    if he == she:
        return DEFAULT_PRONOUN
    return "he" if he > she else "she"


def _votes(tokens: Choice, words: Sequence[str]) -> int:
    return sum(isinstance(token, str) and token in words for token in tokens)


def _named(choice: Choice, tags: list[int], pronoun: str) -> list[Token]:
    """`pronoun` instead of every reference to exactly `tags`, capitalised where it begins the choice."""
    return [
        token if token != tags else pronoun.capitalize() if number == 0 else pronoun
        for number, token in enumerate(choice)
    ]


def _group(tokens: Choice, objects: Sequence[str]) -> list[int] | None:
    """The tags, sorted, of the one reference in `tokens`, if it is to several persons and nothing else."""
    references = [token for token in tokens if isinstance(token, list)]
    if len(references) != 1 or len(references[0]) <= 1 or any(objects[tag] != PERSON for tag in references[0]):
        return None
    return sorted(references[0])
