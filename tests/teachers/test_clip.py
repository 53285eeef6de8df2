import json
import socket
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import folder as folders
from vlkd_steps.teachers.models import clip, zero_shot

SMALL = {  # CLIP's own text tokenizer and towers, small
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
TEXTS = ["What colour is the small thing?", "a kitten's whiskers", "red"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model folder as open_clip's ``local-dir:`` reads it, with random weights."""
    path = tmp_path_factory.mktemp("model")
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    save_file(open_clip.model.CLIP(**SMALL).state_dict(), path / "open_clip_model.safetensors")
    return path


@pytest.fixture(scope="module")
def small(folder: Path) -> clip.ClipTeacher:
    return clip.ClipTeacher({"model": f"local-dir:{folder}", "template": "a photo of a {}"})


@pytest.fixture(scope="module")
def scenes_weights(tmp_path_factory) -> Path:
    """Random weights of vlkd-scenes."""
    torch.manual_seed(0)
    model, _ = clip.create("vlkd-scenes", None)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(model.state_dict(), path)
    return path


def scenes(weights: Path) -> clip.ClipTeacher:
    return clip.ClipTeacher({"model": "vlkd-scenes", "weights": str(weights)})


def test_the_tiny_model_is_registered_with_open_clip_and_fits_four_mib_in_half_precision() -> None:
    clip.register()
    assert "vlkd-scenes" in open_clip.list_models()
    model = open_clip.create_model("vlkd-scenes")
    assert 0.5e6 < sum(parameter.numel() for parameter in model.parameters()) < 2e6
    assert model.encode_image(torch.zeros(2, 3, 48, 48)).shape == (2, 128)


def test_the_tiny_tokenizer_knows_every_word_of_the_benchmark() -> None:
    from vlkd_steps.benchmarks.scenes import vocabulary

    tokenizer = clip.tokenizer("vlkd-scenes")
    ids = tokenizer([" ".join(vocabulary.words()[i : i + 15]) for i in range(0, len(vocabulary.words()), 15)])
    unknown = tokenizer.tokenizer.convert_tokens_to_ids("[UNK]")
    assert unknown not in ids
    assert unknown in tokenizer(["zyzzyva"])
    assert int(ids.max()) < 256


def test_shipped_tokenizer_is_what_its_builder_writes(tmp_path) -> None:
    from vlkd_steps.benchmarks.scenes import vocabulary
    from vlkd_steps.teachers.models import scenes_tokenizer

    scenes_tokenizer.write(tmp_path, vocabulary.words(), context_length=20)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_text() == (scenes_tokenizer.FOLDER / name).read_text()


def test_features_are_open_clips_own(folder: Path, small: clip.ClipTeacher, tmp_path) -> None:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    picture = tmp_path / "picture.png"
    Image.effect_mandelbrot((50, 40), (-2, -1, 1, 1), 9).convert("RGB").save(picture)
    with torch.inference_mode():
        v = model.encode_image(transform(Image.open(picture))[None]).numpy()
        u = model.encode_text(
            open_clip.get_tokenizer(f"local-dir:{folder}")([f"a photo of a {t}" for t in TEXTS])
        ).numpy()
    np.testing.assert_allclose(small.embed_images([small.load_image(picture)]), v, atol=1e-6)
    np.testing.assert_allclose(small.embed_texts(TEXTS)[0], u, atol=1e-6)
    assert small.dim == v.shape[1] == 16
    assert small.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)


def test_patches_are_the_feature_map_that_v_is_pooled_from(scenes_weights: Path) -> None:
    config = {"model": "vlkd-scenes", "weights": str(scenes_weights)}
    teacher, alone = clip.ClipTeacher(config | {"patches": True}), clip.ClipTeacher(config)
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    v, patches = teacher.embed_patches(images)
    np.testing.assert_allclose(v, alone.embed_images(images), atol=1e-5)
    assert (patches.shape, patches.dtype) == ((2, 9, 128), np.float32)
    trunk = teacher.model.visual.trunk
    with torch.inference_mode():
        pooled = teacher.model.visual.head(trunk.fc_norm(torch.tensor(patches).mean(1)))
    np.testing.assert_allclose(v, pooled.numpy(), atol=1e-5)
    assert teacher.kinds == ("image", "patch", "text")
    assert teacher.identity == alone.identity | {"patches": True}


def test_patches_of_a_model_that_has_none_are_refused_when_it_is_built(tmp_path: Path) -> None:
    pooled = SMALL | {"vision_cfg": SMALL["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": pooled, "preprocess_cfg": {}}))
    save_file(open_clip.model.CLIP(**pooled).state_dict(), tmp_path / "open_clip_model.safetensors")
    config = {"model": f"local-dir:{tmp_path}"}
    assert clip.ClipTeacher(config).dim == 16
    with pytest.raises(UserError, match=r"has no square feature map \(.+\); take another, or leave `patches` out"):
        clip.ClipTeacher(config | {"patches": True})


def test_words_and_texts_have_templates_of_their_own(folder: Path, small: clip.ClipTeacher) -> None:
    made = clip.ClipTeacher({"model": f"local-dir:{folder}", "word_template": "a photo of a {}"})
    np.testing.assert_array_equal(made.embed_words(["kitten", "red"]), small.embed_texts(["kitten", "red"])[0])
    np.testing.assert_array_equal(small.embed_words(["red"]), small.embed_texts(["red"])[0])  # left out
    np.testing.assert_array_equal(made.text_vectors(TEXTS), made.embed_texts(TEXTS)[0])
    bare = clip.ClipTeacher({"model": f"local-dir:{folder}"})
    np.testing.assert_array_equal(made.embed_texts(TEXTS)[0], bare.embed_texts(TEXTS)[0])
    assert np.abs(made.embed_texts(["red"])[0] - made.embed_words(["red"])).max() > 1e-3
    assert made.identity == bare.identity | {"word_template": "a photo of a {}"}  # so is the content key


def test_word_states_are_means_of_the_last_layers_tokens(small: clip.ClipTeacher) -> None:
    captured = []
    handle = small.model.ln_final.register_forward_hook(lambda *a: captured.append(a[2]))
    _, per_text = small.embed_texts(["a kitten's whiskers"])
    handle.remove()
    words, states = per_text[0]
    assert words == ["a", "kitten's", "whiskers"]
    tokens = [small.tokenizer.decoder[t] for t in small.tokenizer.encode("a photo of a a kitten's whiskers")]
    assert tokens == ["a</w>", "photo</w>", "of</w>", "a</w>", "a</w>", "kitten</w>", "'s</w>", "whis", "kers</w>"]
    layer = captured[0][0].numpy()
    np.testing.assert_allclose(states, [layer[5], layer[6:8].mean(0), layer[8:10].mean(0)], atol=1e-6)


def test_words_that_cleaning_changes_take_no_others_states_away(small: clip.ClipTeacher) -> None:
    (plain, states), (curly, found) = small.embed_texts(["a dog's red toys", "a dog’s red toys"])[1]
    assert (plain, curly) == (["a", "dog's", "red", "toys"], ["a", "dog", "s", "red", "toys"])
    np.testing.assert_allclose(found, states[[0, 1, 1, 2, 3]], atol=1e-6)
    cut = small.embed_texts(["one dog’s two three four five"])[1][0][0]  # twelve tokens
    assert cut == ["one", "dog", "s", "two", "three", "four"]


def test_a_tokenizer_that_drops_punctuation_and_a_template_with_words_behind() -> None:
    made = clip.ClipTeacher.__new__(clip.ClipTeacher)
    made.tokenizer = open_clip.tokenizer.SimpleTokenizer(clean="canonicalize")
    states = np.arange(30, dtype=np.float32)[:, None]
    read, found = made._word_states("What's red-ish?", "a What's red-ish? thing", states, 1, 1)
    tokens = [made.tokenizer.decoder[token] for token in made.tokenizer.encode("a What's red-ish? thing")]
    assert tokens == ["a</w>", "whats</w>", "re", "dish</w>", "thing</w>"]
    assert read == ["what's", "red", "ish"]
    assert found.tolist() == [[2], [3.5], [3.5]]  # both halves have tokens 3 and 4


def test_what_stands_for_words_that_were_changed_or_dropped() -> None:
    for known, seen, expected in (
        ("a b c", "a b c d", [[0], [1], [2]]),
        ("what's red ish", "whats redish", [[0], [1], [1]]),
        ("a x y", "a q r s", [[0], [1, 2, 3], [1, 2, 3]]),
        ("x s ' b", "x's ' b", [[0], [0], [1], [2]]),
        ("red ' toy", "red toy", [[0], [0, 1], [1]]),
        ("rock amp roll", "rock roll", [[0], [0, 1], [1]]),
        ("amp roll", "roll", [[0], [0]]),
        ("red amp", "red", [[0], [0]]),
        ("red", "", [[]]),
        ("", "x", []),
        ("what s the color of the dog s", "what's the color of the dog's", [[0], [0], [1], [2], [3], [4], [5], [5]]),
    ):
        found = [list(numbers) for numbers in clip.counterparts(known.split(), seen.split())]
        assert found == expected


def test_words_behind_the_context_length_have_no_state(small: clip.ClipTeacher) -> None:
    long = "one two three four five six seven eight nine"
    words, states = small.embed_texts([long])[1][0]
    assert words == ["one", "two", "three", "four", "five", "six"]  # 12 = start + 4 of the template + 6 + end
    assert states.shape == (6, 16)


@pytest.mark.parametrize("text", ["", "?!", "naïve café – 3 × 4", "tabs\tand  spaces", "R&amp;B or rock", "日本 sign"])
def test_odd_texts_give_a_prefix_of_their_words(small, scenes_weights, text: str) -> None:
    from vlkd_steps.data.words import split_words

    for teacher in (small, scenes(scenes_weights)):
        words, states = teacher.embed_texts([text])[1][0]
        assert words == split_words(text)[: len(words)]
        assert len(states) == len(words)
        assert np.isfinite(states).all()


def test_word_level_states_of_the_tiny_model(scenes_weights: Path) -> None:
    teacher = scenes(scenes_weights)
    u, per_text = teacher.embed_texts(["a red star, below the cover"])
    words, states = per_text[0]
    assert words == ["a", "red", "star", "below", "the", "cover"]
    assert (u.shape, states.shape) == ((1, 128), (6, 96))


def test_identity_changes_with_weights_and_template_and_not_with_the_path(
    small: clip.ClipTeacher, folder: Path, scenes_weights: Path, tmp_path
) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(scenes_weights.read_bytes())
    assert scenes(copy).identity == scenes(scenes_weights).identity
    other = clip.ClipTeacher({"model": "vlkd-scenes", "weights": str(copy), "template": "a {}"})
    assert other.identity["template"] != scenes(copy).identity["template"]
    torch.manual_seed(1)
    save_file(clip.create("vlkd-scenes", None)[0].state_dict(), copy)
    assert scenes(copy).identity["weights"] != scenes(scenes_weights).identity["weights"]
    assert small.identity["tokenizer"] == "SimpleTokenizer 12"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "ViT-B16"}, "'ViT-B16' is unknown to open_clip; did you mean 'ViT-B-16"),
        ({"model": "vlkd-scenes", "word_template": "a photo"}, "template 'a photo' has no {}"),
        ({"model": "zzzz"}, "'zzzz' is unknown to open_clip; open_clip.list_models"),
        (
            {"model": "ViT-B-32", "weights": "openia"},
            "weights openia are missing;.*or one of its pretrained tags: openai",
        ),
        ({"model": "vlkd-scenes", "weights": "models/x/model.safetensors"}, "missing; make them .*set `weights`"),
        (
            {"model": "vlkd-scenes", "weights": "asset:nothing.safetensors"},
            "weights asset:nothing.safetensors are missing",
        ),
        ({"model": "vlkd-scenes", "weights": "models/x.pt"}, "not a .safetensors file; nothing else is loaded"),
        ({"model": "vlkd-scenes", "template": "a photo"}, r"template 'a photo' has no \{\}"),
        ({"model": "local-dir:nowhere"}, "folder nowhere has no open_clip_config.json"),
    ],
)
def test_mistakes_in_the_configuration(config: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        clip.ClipTeacher(config)


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    weights = str(folder / "open_clip_model.safetensors")
    with pytest.raises(UserError, match="holds the weights of another model than vlkd-scenes"):
        clip.ClipTeacher({"model": "vlkd-scenes", "weights": weights})


def test_a_file_that_is_no_safetensors_inside_is_refused(tmp_path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"PK\x03\x04 not safetensors")
    with pytest.raises(UserError, match="cannot be loaded from"):
        clip.ClipTeacher({"model": "vlkd-scenes", "weights": str(tmp_path / "x.safetensors")})


def test_a_pickled_folder_is_refused(folder: Path, tmp_path) -> None:
    (tmp_path / "open_clip_config.json").write_text((folder / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match=r"holds no \*.safetensors"):
        clip.ClipTeacher({"model": f"local-dir:{tmp_path}"})


def test_no_network_ends_in_what_to_do(monkeypatch, tmp_path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        UserError, match=r"openai of RN50-quickgelu cannot be fetched .*connect this machine to the hub, or"
    ):
        clip.ClipTeacher({"model": "RN50-quickgelu", "weights": "openai"})


def test_weights_of_another_activation_are_refused_before_they_are_fetched(monkeypatch) -> None:
    monkeypatch.setattr(folders, "located", lambda *_: pytest.fail("fetched"))
    with pytest.raises(UserError, match=r"openai were trained with QuickGELU.* write model: RN50-quickgelu"):
        clip.ClipTeacher({"model": "RN50", "weights": "openai"})


def test_every_refused_pair_has_the_model_that_the_message_names() -> None:
    for model, tag in open_clip.list_pretrained():
        needed = open_clip.get_pretrained_cfg(model, tag).get("quick_gelu")
        if needed and not open_clip.get_model_config(model).get("quick_gelu"):
            assert tag in open_clip.list_pretrained_tags_by_model(f"{model}-quickgelu")


def test_classify_names_the_class_with_the_nearest_prompt() -> None:
    class Signs:
        """Images and texts are signs: the first pixel, and whether the text says no."""

        def parameters(self):
            return iter([torch.zeros(1)])

        def encode_image(self, images: torch.Tensor, normalize: bool) -> torch.Tensor:
            return torch.stack([images[:, 0, 0, 0], torch.ones(len(images))], 1)

        def encode_text(self, texts: torch.Tensor, normalize: bool) -> torch.Tensor:
            return torch.stack([texts, torch.zeros(len(texts))], 1)

    def tokenize(texts: list[str]) -> torch.Tensor:
        return torch.tensor([-1.0 if "no" in text else 1.0 for text in texts])

    images = torch.tensor([3.0, -2.0, 0.5])[:, None, None, None].expand(3, 3, 2, 2)
    named = zero_shot.classify(Signs(), tokenize, images, [["no", "no no"], ["yes"]])
    assert named.tolist() == [1, 0, 1]
