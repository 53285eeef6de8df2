"""The closed list of words of scenes, for the tiny word-level tokenizers of the teacher and the students."""

import re

from vlkd_steps.benchmarks.scenes import captions, frames, probes, wording
from vlkd_steps.benchmarks.scenes.world import COLORS, ROWS, SHAPES, SIZES

EASY_VQA = (
    *("a", "color", "contain", "does", "image", "in", "is", "no", "not", "of", "present", "shape"),
    *("the", "there", "what", "yes"),
)
"""Words of PyPI easy-vqa's questions and answers (release 1.0), besides colours and shapes."""

_VCR = (
    *("and", "are", "behind", "both", "cover", "do", "does", "he", "hides", "in", "is", "like", "look", "looks", "one"),
    *("person", "row", "share", "she", "stand", "stands", "the", "they", "wear", "wears", "what", "where"),
)
_PROMPTS = ("question", "answer", "picture")  # of VLKD's and the probes' templates


def words() -> list[str]:
    """Every lower-case word that scenes (all tasks) and easy-vqa can show, sorted."""
    found = {*COLORS, *SHAPES, *SIZES, *ROWS, *EASY_VQA, *_VCR, *_PROMPTS, *frames.words(), *captions.words()}
    found.update(wording.ADJECTIVES, wording.PEOPLE, wording.TIMES, wording.PLURALS, wording.NUMBERS)
    found.update(wording.VISUAL_WORDS, (str(number) for number in range(10)))
    for prompt in [*probes.COLOR_PROMPTS, *probes.SHAPE_PROMPTS]:
        found.update(re.findall("[a-z]+", prompt))
    return sorted(found)
