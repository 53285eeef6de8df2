"""Caption metrics by pycocoevalcap: BLEU-1 to 4, METEOR, ROUGE-L, CIDEr, SPICE.

All are times 100, as papers print them. BLEU and CIDEr are of the whole corpus: CIDEr's word weights come from the
references of the images that are scored, so it must never be averaged over subsets, nor compared across them.

METEOR needs Java; SPICE needs Java (with up to 8 GB of memory) and CoreNLP, which its package would download at first
use: here it is only used if it is already installed. A metric that cannot run is left out, with the reason.
"""

import atexit
import contextlib
import functools
import importlib.util
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps.core.errors import UserError
from vlkd_steps.metrics import ptb_tokenizer

PACKAGE = "pycocoevalcap"
JAVA_OPTIONS = (
    "-Duser.language=en",
    "-Duser.country=US",
    "-Duser.language.format=en",
    "-Duser.country.format=US",
    "-Dfile.encoding=UTF-8",
)
CORENLP = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

Texts = dict[Any, list[str]]
"""Image id -> captions; a candidate is a list of one."""


@dataclass
class CaptionScores:
    """What `score` found.

    Attributes:
        metrics: BLEU-1 ... SPICE, times 100, two decimals.
        left_out: metric -> why it could not be computed here.
        tokenizer: which tokenizer made the words.
    """

    tokenizer: str
    metrics: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def score(references: Mapping[Any, Sequence[str]], candidates: Mapping[Any, str]) -> CaptionScores:
    """Score one caption per image.

    Args:
        references: image id -> its reference captions, one or more.
        candidates: image id -> the caption to score, for the same images.

    Raises:
        UserError: pycocoevalcap is not installed, or no reference holds a word.
        ValueError: the images differ, or there are none.
    """
    folder = package_folder()
    return measured(*prepared(references, candidates, folder), folder)


def measured(known: Texts, tested: Texts, tokenizer: str, folder: Path) -> CaptionScores:
    """All metrics of references and candidates as `prepared` gives them."""
    found = CaptionScores(tokenizer)
    for name, metric in METRICS.items():
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the package prints its progress
                values = metric(folder, known, tested)
        except Unavailable as reason:
            found.left_out[name] = str(reason)
        else:
            found.metrics |= {each: round(100 * float(value), 2) for each, value in values.items()}
    return found


def prepared(
    references: Mapping[Any, Sequence[str]], candidates: Mapping[Any, str], folder: Path
) -> tuple[Texts, Texts, str]:
    """References and candidates as tokenised texts by image, and the tokenizer's name; raises as `score`."""
    if not references or references.keys() != candidates.keys():
        raise ValueError("references and candidates must be of the same images, one or more")
    ids = sorted(references)  # METEOR and the sums of BLEU and CIDEr go through the images in this order
    texts = [text for name in ids for text in (candidates[name], *references[name])]
    words, tokenizer = tokenize(texts, folder)
    rest = iter(words)
    tested: Texts = {}
    known: Texts = {}
    for name in ids:
        tested[name] = [next(rest)]
        known[name] = [next(rest) for _ in references[name]]
    if not any(text for captions in known.values() for text in captions):
        raise UserError("no reference caption holds a word, only punctuation; no caption metric is defined over that")
    return known, tested, tokenizer


class Scorer:
    """The caption metrics over one evaluation set of the pipeline, which holds one item per reference caption.

    Args:
        instances: the set's rows, as `prepare` wrote them: `image_id`, `text` (a reference), and `group`, by which
            parts of the set are scored on their own, each with its own word weights (NoCaps: the domain).
    """

    def __init__(self, instances: pl.DataFrame) -> None:
        empty = instances.filter(pl.col("text").str.strip_chars() == "")
        if len(empty):
            raise UserError(f"instance {empty['instance_id'][0]} has no caption in its field `text` to compare with")
        self.instances = instances
        self.references: dict[str, list[str]] = {}
        for image, text in instances.select("image_id", "text").iter_rows():
            self.references.setdefault(image, []).append(text)
        self.groups: dict[str, list[str]] = {}
        for image, group in instances.select("image_id", "group").unique(maintain_order=True).iter_rows():
            self.groups.setdefault(group, []).append(image)
        self.candidates: dict[str, str] = {}
        self.prepared: tuple[Texts, Texts, str] | None = None

    def score(self, predictions: pl.DataFrame) -> list[float]:
        """CIDEr-D of each item's image (column `answer`: its caption), so that the items' mean is near the corpus's.

        It is exactly the corpus's where all images have the same number of references.

        Raises:
            UserError: two captions for one image.
        """
        self.candidates = {}
        for image, answer in zip(self.instances["image_id"], predictions["answer"], strict=True):
            if self.candidates.setdefault(image, answer) != answer:
                raise UserError(f"image {image} has two different captions in the predictions; give it one")
        self.prepared = prepared(self.references, self.candidates, package_folder())  # java starts slowly: once
        known, tested, _ = self.prepared
        values = dict(zip(known, cider_by_image(known, tested), strict=True))
        return [values[image] for image in self.instances["image_id"]]

    def metrics(self, scores: Sequence[float]) -> dict[str, Any]:
        """All metrics of the captions that were scored last; ``left_out`` says why one is missing."""
        assert self.prepared is not None, "score first"
        found = measured(*self.prepared, package_folder())
        result: dict[str, Any] = {**found.metrics, "tokenizer": found.tokenizer, "left_out": found.left_out}
        if len(self.groups) > 1:
            parts = {
                group: score({i: self.references[i] for i in images}, {i: self.candidates[i] for i in images})
                for group, images in sorted(self.groups.items())
            }
            result["by_group"] = {group: part.metrics for group, part in parts.items()}
        return result


def tokenize(captions: Sequence[str], folder: Path) -> tuple[list[str], str]:
    """Captions as words joined by spaces, and the name of the tokenizer: Java's, or else the Python replacement."""
    try:
        return ptb_tokenizer.tokenize(captions, folder / "tokenizer"), ptb_tokenizer.JAVA
    except (OSError, subprocess.CalledProcessError):
        return ptb_tokenizer.tokenize_in_python(captions), ptb_tokenizer.PYTHON


def package_folder() -> Path:
    """The folder of pycocoevalcap, which ships the jars.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        remedy = "pip install 'vlkd-steps[captions]', or in a clone: make install"
        raise UserError(f"the package {PACKAGE} is not installed, which computes the caption metrics; {remedy}")
    return Path(spec.submodule_search_locations[0])


class Unavailable(Exception):
    """Why a metric cannot be computed on this machine."""


def _require_java() -> None:
    if shutil.which("java") is None:
        raise Unavailable("it needs Java, and there is no java on the PATH")


def _bleu(folder: Path, references: Texts, candidates: Texts) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu

    values, _ = Bleu(4).compute_score(references, candidates, verbose=0)
    return {f"BLEU-{n}": value for n, value in enumerate(values, start=1)}


def _meteor(folder: Path, references: Texts, candidates: Texts) -> dict[str, float]:
    _require_java()
    meteor = _running_meteor()
    try:
        value, _ = meteor.compute_score(references, candidates)
    except (OSError, ValueError, IndexError) as error:  # java died: a broken pipe, or an empty answer
        _end(meteor)
        _running_meteor.cache_clear()
        raise Unavailable(f"java did not run it ({type(error).__name__}: {error}); it takes 2 GB of memory") from error
    return {"METEOR": value}


@contextlib.contextmanager
def english_java() -> Iterator[None]:
    """A java started in this block writes decimal points and reads UTF-8, whatever the locale: METEOR's parts speak to
    each other and to Python in numbers, and die of decimal commas."""
    given = os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ["JAVA_TOOL_OPTIONS"] = " ".join(filter(None, (given, *JAVA_OPTIONS)))  # the last of equal options counts
    try:
        yield
    finally:
        del os.environ["JAVA_TOOL_OPTIONS"]
        if given is not None:
            os.environ["JAVA_TOOL_OPTIONS"] = given


@functools.cache
def _running_meteor() -> Any:
    """One java for all sets of a process: its table of paraphrases takes longer to read than a set to score."""
    from pycocoevalcap.meteor.meteor import Meteor

    with english_java():
        meteor = Meteor()
    atexit.register(_end, meteor)
    return meteor


def _end(meteor: Any) -> None:
    """End its java. Left to its own `__del__` it would wait for ever for the lock that a failure leaves taken."""
    meteor.meteor_p.kill()
    for pipe in (meteor.meteor_p.stdin, meteor.meteor_p.stdout, meteor.meteor_p.stderr):
        with contextlib.suppress(OSError):
            pipe.close()
    if meteor.lock.locked():
        meteor.lock.release()


def _rouge(folder: Path, references: Texts, candidates: Texts) -> dict[str, float]:
    from pycocoevalcap.rouge.rouge import Rouge

    return {"ROUGE-L": Rouge().compute_score(references, candidates)[0]}


def cider_by_image(references: Texts, candidates: Texts) -> list[float]:
    """CIDEr-D of each image, in the order of `references`, times 1; the word weights are those of all of them."""
    from pycocoevalcap.cider.cider import Cider

    return [float(value) for value in Cider().compute_score(references, candidates)[1]]


def _cider(folder: Path, references: Texts, candidates: Texts) -> dict[str, float]:
    from pycocoevalcap.cider.cider import Cider

    return {"CIDEr": Cider().compute_score(references, candidates)[0]}


def _spice(folder: Path, references: Texts, candidates: Texts) -> dict[str, float]:
    absent = [name for name in CORENLP if not (folder / "spice" / "lib" / name).is_file()]
    if absent:  # the package would download them
        raise Unavailable(
            f"its model is not here ({absent[0]}); to have it: python -m {PACKAGE}.spice.get_stanford_models"
        )
    from pycocoevalcap.spice.spice import Spice

    _require_java()
    try:
        with english_java():
            return {"SPICE": Spice().compute_score(references, candidates)[0]}
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"java did not run it ({type(error).__name__}: {error}); it takes 8 GB of memory") from error


METRICS: dict[str, Callable[[Path, Texts, Texts], dict[str, float]]] = {
    "BLEU": _bleu,
    "METEOR": _meteor,
    "ROUGE-L": _rouge,
    "CIDEr": _cider,
    "SPICE": _spice,
}
