"""Which words of a data set name something visible in its images: ``visual_words`` of its file.

Token selection is measured by them (`teachers.targets.visual_words`); they change no target.
"""

from pathlib import Path

from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.models.names import NO_WORD, WORD
from vlkd_steps.core import components
from vlkd_steps.core.errors import UserError


def of(conf: Dataset) -> list[str]:
    """Lower-cased and sorted; empty where the data set does not say.

    Raises:
        UserError: the file of words cannot be read, has none, or has something else.
    """
    given = conf.visual_words
    if given is None:
        return []
    if isinstance(given, str) and given.endswith(".txt"):
        given = _read(Path(given), f"data set {conf.name}: visual_words")
    elif isinstance(given, str):
        given = components.load_value(components.module_name("visual_words", given), "VISUAL_WORDS")
    return sorted({word.lower() for word in given})


def _read(path: Path, where: str) -> tuple[str, ...]:
    """The words of a text file, one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UserError(f"{where}: cannot read {path}: {reason}; write a text file, one word a line") from error
    words = {number: word for number, line in enumerate(lines, 1) if (word := line.strip())}
    for number, word in words.items():
        if not WORD.fullmatch(word):
            raise UserError(f"{where}: {path}, line {number}: {word[:40]!r} {NO_WORD}")
    if not words:
        raise UserError(f"{where}: {path} has no words; write one a line")
    return tuple(words.values())
