"""What reaches a terminal or a log: without secrets, and without characters that steer a terminal.

Data, file names and answers of servers may hold escape sequences, which move the cursor or rename the window, and
characters that turn the direction of a text, which makes a line read as another one.
"""

import logging
import sys
import traceback
import unicodedata
from types import TracebackType
from typing import TextIO

from vlkd_steps.core.redaction import redacted

KEPT = frozenset("\n\t")
STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of controls, of what is invisible (bidi marks among it), of halves of a character, of line ends
other than a newline; ordinary letters, signs and blanks of every script are in none of them."""
JOINERS = frozenset("\u200c\u200d")  # within words of some scripts, and in emoji


def escaped(text: str) -> str:
    r"""The text with such characters written out (``\x1b``, ``\u202e``); the rest stays as it is."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if _harmless(letter) else _written_out(letter) for letter in text)


def shown(text: str) -> str:
    """A text as it may be shown."""
    return escaped(redacted(text))


def say(*values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """As `print`, of values as they may be shown, and what the stream's encoding lacks is written out (``\\u0416``).

    Nothing in this package prints in another way.
    """
    text, stream = shown(sep.join(map(str, values))), file or sys.stdout
    try:
        print(text, end=end, file=stream, flush=flush)
    except UnicodeEncodeError as error:
        known = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
        print(known, end=end, file=stream, flush=flush)


class Formatter(logging.Formatter):
    """Log records as they may be shown, their tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A ``sys.excepthook``: the usual traceback, as it may be shown."""
    say("".join(traceback.format_exception(kind, error, trace)), end="", file=sys.stderr)


def _harmless(letter: str) -> bool:
    return letter in KEPT or letter in JOINERS or unicodedata.category(letter) not in STEERING


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
