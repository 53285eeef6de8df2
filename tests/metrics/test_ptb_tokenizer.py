"""The words of captions: Java's tokenizer, and the substitute that must split them the same way."""

import shutil
from pathlib import Path

import pytest

from vlkd_steps.core import records
from vlkd_steps.metrics.captioning import package_folder
from vlkd_steps.metrics.ptb_tokenizer import tokenize, tokenize_in_python

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="PTBTokenizer needs Java")

# Each as PTBTokenizer of CoreNLP 3.4.1 and coco-caption's punctuation list make it.
CAPTIONS = [
    ("A woman's hat, isn't it?", "a woman 's hat is n't it"),
    ("It’s a cat", "it 's a cat"),
    ("A clock reads 11:44.", "a clock reads 11:44"),
    ("at 5:54pm on 8th Ave. and 22 3/4 st.", "at 5:54 pm on 8th ave. and 22\xa03/4 st."),
    ("a black-and-white photo -- old", "a black-and-white photo old"),
    ("tub/shower & sink", "tub/shower & sink"),
    ("The #41 bus (a red one)", "the # 41 bus -lrb- a red one -rrb-"),
    ("an U.S.A flag, W. Centre Street", "an u.s.a flag w. centre street"),
    ("hoses.. and more...", "hoses and more"),
    ('a "people crossing" sign; “quoted”', "a people crossing sign quoted"),
    ("Really?? Yes!!", "really ?? yes !!"),
    ("cannot 100% $5", "can not 100 % $ 5"),
    ("caf\u00e9\ncat\r\u2028dog", "caf\u00e9 cat dog"),
    ("", ""),
    ("  ...  ", ""),
]


def test_the_stand_in_makes_the_words_that_java_makes() -> None:
    texts, expected = zip(*CAPTIONS, strict=True)
    assert tokenize_in_python(texts) == list(expected)


@needs_java
def test_java_makes_them() -> None:
    texts, expected = zip(*CAPTIONS, strict=True)
    assert tokenize(texts, package_folder() / "tokenizer") == list(expected)


@needs_java
def test_the_locale_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert tokenize(["Caf\u00e9"], package_folder() / "tokenizer") == ["caf\u00e9"]


def differ(texts: list[str]) -> list[str]:
    folder = package_folder() / "tokenizer"
    return [
        text for text, a, b in zip(texts, tokenize(texts, folder), tokenize_in_python(texts), strict=True) if a != b
    ]


@needs_java
def test_25014_real_captions(shared_data: Path) -> None:
    path = shared_data / "coco_captions_text" / "captions_val2017.json.gz"
    assert len(differ([record["caption"] for record in records.array(path, "annotations")])) <= 1


@needs_java
def test_8977_real_questions_that_the_rules_were_not_made_from(shared_data: Path) -> None:
    path = shared_data / "vqa_v2_text_subset" / "v2_OpenEnded_mscoco_train2014_questions_8977.json.gz"
    assert len(differ([record["question"] for record in records.array(path, "questions")])) <= 2
