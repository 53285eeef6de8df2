"""Tokenization of captions for the caption metrics: Stanford's PTBTokenizer, or a replacement without Java.

The official evaluation (coco-caption, **stated**) runs ``PTBTokenizer -preserveLines -lowerCase`` of CoreNLP 3.4.1, a
jar that pycocoevalcap ships, and drops the tokens of a punctuation list. Where there is no Java, `tokenize_in_python`
follows the same rules for what captions hold: contractions and possessives split off, numbers, hyphenated words and
abbreviations kept whole, punctuation apart and dropped. A result says which of the two made it.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.core.errors import UserError

JAVA, PYTHON = "PTBTokenizer", "Python stand-in for PTBTokenizer"
JAR = "stanford-corenlp-3.4.1.jar"

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""The tokens that coco-caption drops. Brackets come lower-cased out of the tokenizer, so they stay (its own quirk)."""

# A line break of any kind would end the caption, and shift all later captions to another image.
_LINE_BREAKS = str.maketrans(dict.fromkeys("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))


def tokenize(captions: Sequence[str], folder: Path) -> list[str]:
    """Captions as words joined by single spaces, by Java's PTBTokenizer.

    Args:
        captions: N texts; line breaks within one are spaces.
        folder: the folder of the jar, pycocoevalcap's `tokenizer`.

    Raises:
        OSError, subprocess.CalledProcessError: Java is absent or does not run.
    """
    command = ["java", "-cp", str(folder / JAR), "edu.stanford.nlp.process.PTBTokenizer"]
    options = ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]  # not the locale's encoding, which may be ASCII
    text = "".join(caption.translate(_LINE_BREAKS) + "\n" for caption in captions)
    done = subprocess.run(command + options, input=text.encode(errors="replace"), capture_output=True, check=True)
    lines = done.stdout.decode().split("\n")[:-1]
    if len(lines) != len(captions):
        raise UserError(
            f"PTBTokenizer made {len(lines)} lines of {len(captions)} captions; is a caption not plain text?"
        )
    return [without_punctuation(line.rstrip().split(" ")) for line in lines]


def without_punctuation(tokens: Sequence[str]) -> str:
    return " ".join(token for token in tokens if token not in PUNCTUATION)


def tokenize_in_python(captions: Sequence[str]) -> list[str]:
    """The same without Java.

    Equal to `tokenize` on 25,013 of the 25,014 captions of COCO's val2017, by which its rules were found, and on 8,975
    of 8,977 questions of VQA v2, by which they were not (tests/evaluation/test_ptb_tokenizer.py).
    """
    return [without_punctuation(_tokens(caption.translate(_LINE_BREAKS))) for caption in captions]


_TOKEN = re.compile(
    r"""
      (?: n['’]t | ['’](?:s|m|d|re|ve|ll) ) (?!\w)  # split off beforehand
    | \d+[ ]\d+/\d+ (?!\w)                      # 22 3/4, one token with a no-break space in it
    | \d+ (?: [.,:/-] \d+ )+ (?= [^\W\d_] | \b )  # 11:44  3.5  1,000  50/50
    | \d+ (?= (?:am|pm)\b )                     # 5pm
    | (?: [^\W\d_] \. )+ [^\W\d_] \b (?![.]) | (?: [^\W\d_] \. ){2,}  # U.S.A and U.S.
    | [a-hj-z] \. (?= \s+ \S )                  # W. Centre Street
    | (?: mr | mrs | ms | dr | st | ave | blvd | rd | ft | jr | sr | vs | etc | inc | co | corp ) \. (?= [\s\"”)] | $ )
    | \w+ (?: (?: [-/.&] | '(?!s\b|m\b|d\b|re\b|ve\b|ll\b|t\b|\W|$) ) \w+ )*
    | \.{3,} | -{2,} | [?!]{2,} | \S
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SUFFIX = re.compile(r"(?<=\w)(n['’]t|['’](?:s|m|d|re|ve|ll))(?!\w)", re.IGNORECASE)
_WHOLE = {"cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na", "gimme": "gim me"}
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_QUOTES = frozenset('"“”')


def _tokens(caption: str) -> list[str]:
    tokens: list[str] = []
    for token in _TOKEN.findall(_SUFFIX.sub(r" \1", caption)):
        if " " in token:  # PTBTokenizer joins a whole number and its fraction
            tokens.append(token.replace(" ", "\xa0"))
            continue
        token = token.lower().replace("’", "'")
        tokens += _WHOLE.get(token, _BRACKETS.get(token, "''" if token in _QUOTES else token)).split(" ")
    return tokens
