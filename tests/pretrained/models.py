"""Model folders of a few kilobytes with random weights, and what makes them dangerous or wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizerFast

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] what color is the star ##s red of a ?".split()  # noqa: SIM905
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": len(WORDS), "width": 16, "heads": 2, "layers": 1},
}
CODE = "import pathlib\npathlib.Path({mark!r}).write_text('ran')\n"


def bert(folder: Path, layers: int = 1) -> Path:
    """A BERT and its tokenizer, as save_pretrained writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=8
    )
    BertModel(config).save_pretrained(folder)
    return folder


def tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


def clip(folder: Path) -> Path:
    """A CLIP with a tokenizer of transformers, as open_clip's ``local-dir:`` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(folder)
    config = {**CLIP, "text_cfg": {**CLIP["text_cfg"], "hf_tokenizer_name": "some/name"}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**CLIP)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def reweighted(path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Change a safetensors file."""
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def armed(folder: Path, mark: Path) -> None:
    """Put code into a folder that writes `mark`, and say in every configuration that it is to be run."""
    (folder / "evil.py").write_text(CODE.format(mark=str(mark)) + "class Evil: pass\nclass EvilConfig: pass\n")
    maps = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**content, "auto_map": maps, "trust_remote_code": True}))
