"""Prompts for a BART, for a question or a caption (choice; docs/papers.md, "VLKD's definition").

A prompt is a text with ``{q}`` for the question and ``<mask>`` for the answer. BART's encoder reads it with its mask
token. Its decoder was trained to generate the whole text, so the text before the mask is forced as its prefix; what
it generates next is the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlkd_steps.core import prompt_wording
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.prompt_wording import MASK

QUESTION = "Question: {q} Answer: <mask>"
CAPTION = "A picture of <mask>"

SENSITIVITY: Mapping[str, str] = {
    "question_answer": QUESTION,
    "bare": "{q} <mask>",
    "answer": "{q} Answer: <mask>",
    "q_a": "Q: {q} A: <mask>",
    "picture": "A picture. Question: {q} Answer: <mask>",
    "sentence": "Question: {q} The answer is <mask>",
    "stop": "Question: {q} Answer: <mask>.",
}
"""Wordings of the same question, to measure the sensitivity to wording; the first is the default."""


@dataclass(frozen=True)
class Prompt:
    """A validated wording: the encoder reads `before`, a mask, `after`."""

    before: str
    after: str = ""

    @classmethod
    def of(cls, wording: str) -> "Prompt":
        """Read a wording.

        Raises:
            UserError: it has no mask, or more than one, or a question after it.
        """
        before, _, after = wording.partition(MASK)
        if not prompt_wording.is_valid(wording):
            raise UserError(
                f"the prompt {wording!r} must have {MASK} once, where the answer goes, and {{q}}, the question, "
                f"before it; e.g. {QUESTION!r}"
            )
        return cls(before.rstrip(), after)

    def prefix(self, question: str = "") -> str:
        """The decoder's forced prefix."""
        return self.before.replace("{q}", question)

    def text(self, mask: str, question: str = "") -> str:
        """The encoder's input; `mask` is the tokenizer's mask token."""
        return f"{self.prefix(question)} {mask}{self.after}".strip()

    def written(self, answer: str, question: str = "") -> str:
        """The whole text with the answer filled in: the decoder's target in fine-tuning."""
        return f"{self.prefix(question)} {answer}{self.after}".strip()


def answer_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text that continues another: with a leading space, without special tokens."""
    found: list[int] = tokenizer(f" {text}", add_special_tokens=False).input_ids
    return found
