"""The word-level tokenizer of ``vlkd-scenes``: one id per word of the scenes' closed vocabulary.

CLIP's own byte-pair vocabulary has 49,408 entries, which at width 96 would be three times the rest of the model. The
result ships in ``assets/scenes_tokenizer`` and must not change once weights are trained with it: the
model knows words by their number. ``python -m vlkd_steps.teachers.models.scenes_tokenizer`` writes it.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from vlkd_steps.core import files, package_assets

FOLDER = package_assets.ASSETS / "scenes_tokenizer"
SPECIAL = ("[PAD]", "[UNK]", "[EOS]")


def build(vocabulary: Sequence[str]) -> Tokenizer:
    """A tokenizer that lower-cases, keeps runs of letters, digits and apostrophes, and ends with [EOS] (id 2)."""
    ids = {word: number for number, word in enumerate([*SPECIAL, *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z0-9']+"), behavior="removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [EOS]", special_tokens=[("[EOS]", 2)])
    return tokenizer


def write(folder: Path, vocabulary: Sequence[str], context_length: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, as transformers' ``AutoTokenizer`` reads them."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "tokenizer.json"
        build(vocabulary).save(str(path))
        files.write_text(folder / "tokenizer.json", path.read_text(encoding="utf-8"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "eos_token": "[EOS]",
        "model_max_length": context_length,
    }
    files.write_json(folder / "tokenizer_config.json", settings)


if __name__ == "__main__":
    from vlkd_steps.benchmarks.scenes import vocabulary

    write(FOLDER, vocabulary.words(), context_length=20)
