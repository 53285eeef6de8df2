"""CLIP as a teacher, from open_clip: any of its models and pretrained tags, a local file or folder, or ``vlkd-scenes``.

A teacher's configuration (``conf/teacher/*.yaml``) names

- ``model``: an open_clip model name, ``local-dir:FOLDER`` or ``hf-hub:ORG/REPO``; OpenAI's weights, and some others',
  belong to the names that end in ``-quickgelu``;
- ``weights``: a pretrained tag of that model, a safetensors file, or ``asset:FILE`` for one that ships with this
  package; left out for the two prefixed forms, which have their own;
- ``template``: the text around every text, mostly ``{}``; ``word_template``: the text around every single word, such as
  ``a photo of {}`` (default: `template`);
- ``transform``: ``exact`` or ``fast`` (`pixels`);
- ``patches: true``: stores the image tower's last feature map as well, [P, W] row by row.
"""

import json
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

from vlkd_steps.core import artifacts, components, files, package_assets
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import words
from vlkd_steps.pretrained import clip_models, report
from vlkd_steps.teachers.models import scenes_tower as scenes_tower  # imported for its registration with timm
from vlkd_steps.teachers.models.computing import Computing, device_of
from vlkd_steps.teachers.models.pixels import Pixels
from vlkd_steps.teachers.models.text_tower import TextTower
from vlkd_steps.teachers.models.weights import weights_digest


class ClipTeacher:
    """A frozen CLIP: images and texts to vectors of its joint space, before normalisation.

    Attributes:
        identity: what the features depend on (JSON): model, weights' digest, transform, templates.
        dim: width D of the joint space.
        logit_scale: 1 / tau, the trained scale of cosines.
    """

    def __init__(self, config: Mapping[str, Any], device: str = "cpu") -> None:
        """Build the model that `config` names and load its weights.

        Raises:
            UserError: model or tag are unknown, the weights are missing, unreachable or of another model, the template
                has no ``{}``, or the model has no square feature map for ``patches``.
        """
        self.template: str = config.get("template", "{}")
        self.word_template: str = config.get("word_template") or self.template
        for template in (self.template, self.word_template):
            if "{}" not in template:
                raise UserError(f"the teacher's text template {template!r} has no {{}}; write {{}} where the text goes")
        self.computing = Computing(config, device)
        self.device = self.computing.device
        self.model, transform = create(config["model"], config.get("weights"))
        self.pixels = Pixels(transform, config, self.computing)
        self.model.eval().requires_grad_(False).to(self.computing.device)
        self.tokenizer = tokenizer(config["model"])
        self.text_tower = TextTower(self.model, self.tokenizer)
        self.kinds = ("image", "patch", "text") if config.get("patches") else ("image", "text")
        self.dim: int = getattr(self.model.visual, "output_dim", 0) or self.embed_images([self.pixels.blank()]).shape[1]
        if "patch" in self.kinds:
            self._check_patches(config["model"])
        self.logit_scale = float(self.model.logit_scale.exp())
        self.temperature = 1 / self.logit_scale
        self.identity: dict[str, Any] = {
            "model": config["model"],
            "weights": weights_digest(self.model),
            "architecture": architecture(config["model"]),
            "transform": self.pixels.identity,
            "tokenizer": tokenizer_digest(self.tokenizer),
            "template": self.template,
            **({} if self.word_template == self.template else {"word_template": self.word_template}),
            **({"patches": True} if "patch" in self.kinds else {}),
            **self.computing.identity,
        }

    def load_image(self, path: Path) -> torch.Tensor:
        """Read one image and resize it for the model: uint8 [3, S, S]."""
        return self.pixels.read(path)

    def pixels_of(self, content: bytes, name: str) -> torch.Tensor:
        """As `load_image` of a file with these bytes; `name` is for messages."""
        return self.pixels.of(content, name)

    def embed_images(self, images: Sequence[torch.Tensor] | torch.Tensor) -> np.ndarray:
        """B images of `load_image` -> v, float32 [B, D]."""
        with self.computing():
            return self.model.encode_image(self.pixels.batch(images)).float().cpu().numpy()

    def embed_patches(self, images: Sequence[torch.Tensor] | torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """As `embed_images`, and the last feature map row by row, float32 [B, P, W] with P a square number."""
        with self.computing():
            found = self.model.forward_intermediates(
                image=self.pixels.batch(images), image_indices=1, normalize=False, normalize_intermediates=True
            )
            grid = found["image_intermediates"][-1].flatten(2).transpose(1, 2)
            return found["image_features"].float().cpu().numpy(), grid.float().cpu().numpy()

    def _check_patches(self, model: str) -> None:
        """Try a blank image: some towers, such as CoCa's, have no feature map that open_clip gives."""
        patches, why = 0, ""
        try:
            patches = self.embed_patches([self.pixels.blank()])[1].shape[1]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AttributeError, TypeError, ValueError, AssertionError) as error:
            why = f" ({report.brief(error)})"
        if not patches or round(patches**0.5) ** 2 != patches:
            raise UserError(
                f"the teacher's model {model} has no square feature map{why}; take another, or leave `patches` out"
            )

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        """The number of positions that the text tower needs for each text in its template."""
        return self.text_tower.lengths(self.tokenizer(self.in_template(texts))).tolist()

    def embed_texts(self, texts: Sequence[str]) -> tuple[np.ndarray, list[tuple[list[str], np.ndarray]]]:
        """Texts, each put into the template -> u and the last layer's states, averaged per word.

        Returns:
            u, float32 [B, D], and for each text its first words and their states, float32 [words, H]: the words of
            ``split_words(text)`` within the context length, without those of the template. Words that the tokenizer's
            cleaning has changed have the states of `counterparts`.
        """
        framed = self.in_template(texts)
        with self.computing():
            pooled, states = (found.float().cpu().numpy() for found in self.text_tower.encode(self.tokenizer(framed)))
        before, after = self.template.split("{}", 1)
        around = tuple(len(words.split_words(self.tokenizer.clean_fn(p))) - 1 for p in (f"{before}x", f"x{after}"))
        return pooled, [
            self._word_states(text, frame, state, *around)
            for text, frame, state in zip(texts, framed, states, strict=True)
        ]

    def text_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """u alone: `embed_texts` takes longer for the states of words than a GPU takes for the texts."""
        return self._pooled(self.in_template(texts))

    def embed_words(self, words: Sequence[str]) -> np.ndarray:
        """Words, each in the word template -> their vectors, float32 [B, D]."""
        return self._pooled([self.word_template.replace("{}", word) for word in words])

    def _pooled(self, framed: Sequence[str]) -> np.ndarray:
        with self.computing():
            return self.text_tower.encode(self.tokenizer(framed))[0].float().cpu().numpy()

    def in_template(self, texts: Sequence[str]) -> list[str]:
        """Each text in the teacher's template."""
        return [self.template.replace("{}", text) for text in texts]

    def _word_states(
        self, text: str, frame: str, states: np.ndarray, before: int, after: int
    ) -> tuple[list[str], np.ndarray]:
        """Average the token `states` [L, H] of one text over its words, as far as the model reads.

        Args:
            before, after: the template's words around the text.
        """
        clean, spans = token_spans(self.tokenizer, frame)
        known, seen = words.split_words(text), words.split_words(clean)
        tokens = words.token_words(clean, spans)[before : len(seen) - after]
        means: list[np.ndarray] = []
        for numbers in counterparts(known, seen[before : len(seen) - after]):
            positions = [position for number in numbers for position in tokens[number]]
            if not positions:  # cut away
                break
            means.append(states[positions].mean(0))
        return known[: len(means)], np.array(means, np.float32).reshape(len(means), states.shape[1])


def load(config: Mapping[str, Any]) -> ClipTeacher:
    """The teacher of a configuration of kind ``clip``, on its ``device`` (default: the best available)."""
    torch.set_num_threads(config.get("threads", 1))
    return ClipTeacher(config, device_of(config))


def architecture(model: str) -> str:
    """A hash of a model's architecture in open_clip: the same weights may fit several (heads, pooling)."""
    config = described(model).config
    config.get("text_cfg", {}).pop("hf_tokenizer_name", None)  # a path of this machine; the tokenizer has its own hash
    return files.digest(config)


@cache
def register() -> None:
    """Register this package's models with open_clip (``assets/open_clip/*.json``).

    open_clip resolves the path of a tokenizer against the current folder, so it gets copies of the files with the
    absolute path in this package.
    """
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((package_assets.ASSETS / "open_clip").glob("*.json")):
            config = files.read_json(path, "install the package again")
            config["text_cfg"]["hf_tokenizer_name"] = str(components.ROOT / config["text_cfg"]["hf_tokenizer_name"])
            (Path(folder) / path.name).write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(folder)


def create(model: str, weights: str | None) -> tuple[Any, Any]:
    """The open_clip model `model` with its `weights`, and its evaluation transform.

    Raises:
        UserError: see `ClipTeacher`.
    """
    register()
    own_weights = model.startswith(clip_models.PREFIXES)
    if model.startswith("local-dir:"):
        _check_folder(Path(model.removeprefix("local-dir:")))
    elif not own_weights:
        _check_name(model)
    file = _weights_file(model, weights) if weights and not own_weights else None
    preprocessing: dict[str, Any] = {}
    try:
        found = described(model)
        if own_weights:
            file = clip_models.weights_of(found)
        elif weights and not file:
            file, preprocessing = clip_models.tagged(found, weights)
        built, transform = clip_models.build(found, **preprocessing)
    except OSError as error:
        raise UserError(
            f"the weights {weights or model} of {model} cannot be fetched ({report.brief(error)}); connect this "
            f"machine to the hub, or copy the safetensors file here by hand and set the teacher's `weights` to its path"
        ) from error
    if file:
        clip_models.load(built, file, "the teacher's weights", model)
    return built, transform


def tokenizer(model: str) -> Any:
    """The open_clip tokenizer of `model`: texts -> int64 [B, context length]."""
    try:
        return clip_models.tokenizer(described(model))
    except OSError as error:
        raise UserError(
            f"the tokenizer of {model} cannot be fetched ({report.brief(error)}); connect this machine to the hub"
        ) from error


def described(model: str) -> clip_models.Model:
    """The configuration of `model` from open_clip, this package or a folder."""
    register()
    return clip_models.described(model)


def tokenizer_digest(tokenizer: Any) -> str:
    """sha256 (hex) of a Hugging Face tokenizer with its vocabulary; for CLIP's own, which never changes, its name."""
    if isinstance(tokenizer, open_clip.tokenizer.HFTokenizer):
        return files.digest([tokenizer.tokenizer.backend_tokenizer.to_str(), tokenizer.context_length])
    return f"{type(tokenizer).__name__} {tokenizer.context_length}"


def counterparts(known: Sequence[str], seen: Sequence[str]) -> list[range]:
    """For each word of a text the numbers of those that stand for it in the text as its tokenizer cleans it.

    Equal words stand for each other. Words that were joined, cut or changed have what is in their place, and one that
    was dropped has the words next to it.

    >>> counterparts(["the", "dog", "s", "bed"], ["the", "dog's", "bed"])  # a curly apostrophe becomes a plain one
    [range(0, 1), range(1, 2), range(1, 2), range(2, 3)]
    """
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(known, seen, strict=False)))
    found = [range(number, number + 1) for number in range(same)]
    matcher = SequenceMatcher(None, known[same:], seen[same:], autojunk=False)
    for _, start, stop, first, last in matcher.get_opcodes():
        if first == last:
            found += [range(max(same + first - 1, 0), min(same + last + 1, len(seen)))] * (stop - start)
        else:
            inside = in_place(known[same + start : same + stop], seen[same + first : same + last])
            found += [range(same + first + part.start, same + first + part.stop) for part in inside]
    return found


def in_place(known: Sequence[str], seen: Sequence[str]) -> list[range]:
    """As `counterparts`, of words in one place: by their letters if both have the same ones, otherwise all of them."""
    if known == seen:
        return [range(number, number + 1) for number in range(len(seen))]
    mine, theirs = ([word.replace("'", "") for word in part] for part in (known, seen))
    if "".join(mine) != "".join(theirs) or not all(mine + theirs):
        return [range(len(seen))] * len(known)
    stops, ends = list(accumulate(map(len, mine))), list(accumulate(map(len, theirs)))
    return [
        range(bisect_right(ends, stop - len(word)), bisect_left(ends, stop) + 1)
        for word, stop in zip(mine, stops, strict=True)
    ]


def token_spans(tokenizer: Any, text: str) -> tuple[str, list[tuple[int, int]]]:
    """`text` as open_clip cleans it, and the characters [start, stop) that each token covers.

    Position i of the list is position i of the model's input; special tokens cover (0, 0).
    """
    clean = tokenizer.clean_fn(text)
    if isinstance(tokenizer, open_clip.tokenizer.HFTokenizer):
        encoded = tokenizer.tokenizer(
            clean, return_offsets_mapping=True, truncation=True, max_length=tokenizer.context_length
        )
        return clean, [tuple(span) for span in encoded["offset_mapping"]]
    # CLIP's byte-pair encoder drops only white space, so the bytes of its tokens can be counted along the text.
    characters = [index for index, character in enumerate(clean) for _ in character.encode() if not character.isspace()]
    spans, at = [(0, 0)], 0
    for token in tokenizer.encode(text)[: tokenizer.context_length - 2]:
        length = len(tokenizer.decoder[token].removesuffix("</w>"))
        spans.append((characters[at], characters[at + length - 1] + 1))
        at += length
    return clean, [*spans, (0, 0)]


def _check_name(model: str) -> None:
    names = open_clip.list_models()
    if model.replace("/", "-") not in names:
        hint = nearest(model, names, "open_clip.list_models() names them all")
        raise UserError(f"the teacher's model {model!r} is unknown to open_clip; {hint}")


def _check_folder(folder: Path) -> None:
    if not (folder / "open_clip_config.json").is_file():
        raise UserError(
            f"the teacher's folder {folder} has no open_clip_config.json; it needs that and weights as "
            f"safetensors (nothing is unpickled), as open_clip's `push_to_hf_hub` writes them"
        )


def _weights_file(model: str, weights: str) -> Path | None:
    """The file that `weights` names, or None for one of open_clip's pretrained tags."""
    tags = open_clip.list_pretrained_tags_by_model(model.replace("/", "-"))
    if weights in tags or weights.replace("-", "_").lower() in tags:
        return None
    path = package_assets.path(weights) or Path(weights)
    if path.suffix != ".safetensors" and (path.exists() or "/" in weights):
        raise UserError(
            f"the teacher's weights {weights} are not a .safetensors file; nothing else is loaded from disk"
        )
    if not path.is_file():
        known = f" or one of its pretrained tags: {', '.join(tags)}" if tags else ""
        raise UserError(
            f"the teacher's weights {weights} are missing; make them (the rule `pretrain`), "
            f"or set `weights` of the teacher to the path of a safetensors file of {model}{known}"
        )
    return artifacts.weights(path)
