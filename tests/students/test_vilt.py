import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, ViltModel

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students import exported, initialization, vilt


def test_two_forwards_give_equal_tokens_and_leave_the_random_state_alone(
    student: vilt.ViltStudent, inputs: Inputs
) -> None:
    before = torch.random.get_rng_state()
    first, second = student(inputs), student(inputs)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in vars(first).items():
        assert value is getattr(second, name) is None or torch.equal(value, getattr(second, name)), name


def test_is_transformers_vilt_up_to_the_order_of_the_patches(student: vilt.ViltStudent, inputs: Inputs) -> None:
    images, tokens, mask = inputs.images, inputs.tokens, inputs.mask
    assert images is not None
    ours = student(inputs)
    pixels = images.float() / 127.5 - 1
    theirs = student.vilt(
        input_ids=tokens, attention_mask=mask, pixel_values=pixels, pixel_mask=torch.ones(2, 48, 48, dtype=torch.long)
    )
    torch.testing.assert_close(ours.pooled, theirs.pooler_output, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.cls, theirs.last_hidden_state[:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.text, theirs.last_hidden_state[:, :6], atol=1e-5, rtol=1e-4)
    distance = torch.cdist(ours.visual, theirs.last_hidden_state[:, 7:])  # each of our patches is one of theirs
    assert distance.min(dim=2).values.max() < 1e-4
    assert (distance < 1e-4).sum() == 2 * 9


def test_a_vocabulary_saved_by_windows(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_bytes("red\r\ngreen".encode("utf-8-sig"))
    assert initialization.vocabulary(str(words), "mine") == ["red", "green"]
    words.write_bytes("red\ngrün".encode("latin-1"))
    with pytest.raises(UserError, match=r"words\.txt is no UTF-8 text; save it as UTF-8"):
        initialization.vocabulary(str(words), "mine")


def test_a_vocabulary_without_words_is_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("\n")
    with pytest.raises(UserError, match=r"student mine: vocabulary: .*words\.txt has no words; write one a line"):
        initialization.vocabulary(str(words), "mine")


def test_patches_come_row_by_row(student: vilt.ViltStudent, inputs: Inputs) -> None:
    assert inputs.images is not None
    images = inputs.images.clone()
    before = student.embed_images(images)
    images[:, :, 16:32, 32:48] = 255 - images[:, :, 16:32, 32:48]  # row 1, column 2
    changed = (student.embed_images(images) - before).abs().sum(-1) > 1e-6
    assert changed.nonzero()[:, 1].tolist() == [1 + 5, 1 + 5]


def test_padding_changes_nothing(student: vilt.ViltStudent, inputs: Inputs) -> None:
    images, tokens, mask = inputs.images, inputs.tokens, inputs.mask
    assert images is not None
    alone = student(Inputs(tokens[1:, :4], mask[1:, :4], inputs.types[1:, :4], images[1:]))
    torch.testing.assert_close(student(inputs).logits[1:], alone.logits, atol=1e-5, rtol=1e-4)


def test_embedded_text_is_what_enters_the_first_layer(student: vilt.ViltStudent, inputs: Inputs) -> None:
    seen: dict[str, torch.Tensor] = {}
    student.vilt.encoder.layer[0].register_forward_pre_hook(lambda _, arguments: seen.update(states=arguments[0]))
    output = student(inputs)
    assert torch.equal(output.embedded_text, seen["states"][:, :6])


def test_positions_of_a_larger_image_are_interpolated_as_transformers_does(conf: dict[str, Any]) -> None:
    student = vilt.build(conf | {"image_size": 64}, "vqa", ["a"], seed=3).eval()
    with torch.no_grad():
        student.vilt.embeddings.position_embeddings.normal_(generator=torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    tokens = torch.tensor([[2, 7, 3]])
    theirs = student.vilt(
        input_ids=tokens, pixel_values=images.float() / 127.5 - 1, pixel_mask=torch.ones(1, 64, 64, dtype=torch.long)
    )
    ours = student(Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images))
    assert ours.visual.shape == (1, 16, 16)
    torch.testing.assert_close(ours.cls, theirs.last_hidden_state[:, 0], atol=1e-5, rtol=1e-4)


def test_weights_are_a_function_of_the_seed(conf: dict[str, Any]) -> None:
    torch.manual_seed(1)
    first = vilt.build(conf, "vqa", ["a", "b"], seed=3).state_dict()
    before = torch.random.get_rng_state()
    second, other = (
        vilt.build(conf, "vqa", ["a", "b"], seed=3).state_dict(),
        vilt.build(conf, "vqa", ["a", "b"], seed=4).state_dict(),
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_the_scenes_student_has_the_size_it_says() -> None:
    import yaml

    conf = yaml.safe_load(Path("vlkd_steps/conf/student/vilt_scenes.yaml").read_text())
    student = vilt.build(conf, "vqa", [str(i) for i in range(20)], seed=0)
    parameters = {name: p.numel() for name, p in student.named_parameters()}
    words = sum(count for name, count in parameters.items() if "word_embeddings" in name)
    assert 150_000 < sum(parameters.values()) - words < 180_000
    assert student.patches_per_side**2 == 9


def test_saved_and_loaded_is_the_same_student(student: vilt.ViltStudent, inputs: Inputs, tmp_path: Path) -> None:
    vilt.save(student, tmp_path / "a" / "model.safetensors")
    vilt.save(student, tmp_path / "b" / "model.safetensors")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    loaded = vilt.load(tmp_path / "a" / "model.safetensors")
    assert torch.equal(loaded(inputs).logits, student(inputs).logits)
    assert loaded.labels == ["no", "yes", "red"]
    assert loaded.tokenizer("what color").input_ids == student.tokenizer("what color").input_ids


def test_export_loads_by_from_pretrained_and_starts_another_student(
    student: vilt.ViltStudent, inputs: Inputs, tmp_path: Path
) -> None:
    vilt.export(student, tmp_path / "out")
    theirs = ViltModel.from_pretrained(tmp_path / "out")
    assert all(torch.equal(value, student.vilt.state_dict()[name]) for name, value in theirs.state_dict().items())
    assert torch.equal(
        load_file(tmp_path / "out" / "head.safetensors")["head.3.weight"], student.state_dict()["head.3.weight"]
    )
    again = vilt.build({"name": "v", "weights": str(tmp_path / "out")}, "vqa", ["no", "yes", "red"], seed=9).eval()
    assert torch.equal(again(inputs).cls, student(inputs).cls)
    assert again.tokenizer("is the thing red").input_ids == student.tokenizer("is the thing red").input_ids


def test_mistakes_in_the_configuration_are_named(
    conf: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    bert = tmp_path / "bert"
    BertConfig().save_pretrained(bert)
    (tmp_path / "empty").mkdir()
    scratch = conf["architecture"]
    for change, message in (
        ({"architecture": scratch | {"hiden_size": 3}}, "architecture has no key 'hiden_size'"),
        ({"architecture": scratch | {"num_attention_heads": 3}}, "transformers rejects its architecture"),
        ({"image_size": 50}, "image_size is 50; write one number, a multiple of patch_size 16"),
        ({"vocabulary": "nowhere.txt"}, "vocabulary: cannot read nowhere.txt"),
        ({"vocabulary": "nowhere"}, "there is no vocabulary 'nowhere'"),
        ({"vocabulary": None}, "needs vocabulary"),
        ({"weights": str(tmp_path / "empty")}, "is a folder without config.json"),
        ({"weights": str(bert)}, "is a bert, not a ViLT"),
        ({"weights": "nobody/no-such-model"}, "'nobody/no-such-model' cannot be loaded"),
        ({"pretrained": True}, "models/vilt_toy has no pre-trained weights"),
    ):
        with pytest.raises(UserError, match=message):
            vilt.build(conf | change, "vqa", ["a"], seed=1)


def test_a_foreign_file_is_not_a_run(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="was not written by a training run"):
        vilt.load(tmp_path / "model.safetensors")


def test_spread_separates_the_vectors_of_words_rows_and_columns(conf: dict[str, Any]) -> None:
    plain = vilt.build(conf, "vqa", ["a"], seed=3).vilt.embeddings
    wide = vilt.build(conf | {"spread": {"words": 1.0, "positions": 2.0}}, "vqa", ["a"], seed=3).vilt.embeddings
    assert plain.position_embeddings.abs().max() == 0  # as transformers leaves them
    words = wide.text_embeddings.word_embeddings.weight
    assert words[0].abs().max() == 0  # padding
    assert words[1:].std().item() == pytest.approx(1.0, abs=0.1)
    places = wide.position_embeddings[0, 1:].reshape(3, 3, -1)
    assert wide.position_embeddings[0, 0].abs().max() == 0
    # The sum of a row's and a column's vector: the step from column 0 to 1 is the same in every row.
    torch.testing.assert_close(places[0, 1] - places[0, 0], places[2, 1] - places[2, 0])
    assert places.std().item() == pytest.approx(2 * 2**0.5, rel=0.4)


def spoilt(path: Path, change: Any) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, "pt") as stream:
        metadata = stream.metadata()
    save_file(change(load_file(path)), path, metadata=metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: {f"x.{name}": tensor for name, tensor in held.items()}, r"is not there \(0 of \d+ tensors came"),
        (lambda held: {**held, "x": torch.zeros(1)}, "this one has no tensor x"),
        (lambda held: {**held, "head.3.bias": torch.zeros(9)}, r"head\.3\.bias has shape \[9\], not \[3\]"),
        (
            lambda held: {**held, "head.3.bias": torch.full((3,), torch.nan)},
            r"not finite numbers, first in head\.3\.bias",
        ),
    ],
)
def test_a_runs_weights_are_all_its_own(student: vilt.ViltStudent, tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "model.safetensors"
    vilt.save(student, path)
    spoilt(path, change)
    with pytest.raises(UserError, match=message) as error:
        vilt.load(path)
    assert str(path) in str(error.value)


def test_a_damaged_or_odd_file_is_a_message_and_weights_that_are_not_numbers_are_not_written(
    student: vilt.ViltStudent, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    for student_of in ("[]", "{", '{"architecture": {}}', '{"architecture": {"hidden_size": "x"}, "tokenizer": "{}"}'):
        save_file({"a": torch.zeros(1)}, path, metadata={"student": student_of})
        with pytest.raises(UserError, match=r"model\.safetensors"):
            vilt.load(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match=r"model\.safetensors is no safetensors file"):
        vilt.load(path)
    path.unlink()
    with torch.no_grad():
        student.head[3].bias[0] = torch.inf  # type: ignore[index]
    with pytest.raises(UserError, match=r"not finite numbers, first in head\.3\.bias; lower training\.learning_rate"):
        vilt.save(student, path)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["names", "missing", "width", "cut", "tokenizer", "pickle"])
def test_pre_trained_weights_are_the_files(student: vilt.ViltStudent, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    vilt.export(student, out)
    file = out / "model.safetensors"
    if kind == "names":
        spoilt(file, lambda held: {f"x.{name}": tensor for name, tensor in held.items()})
    elif kind == "missing":
        spoilt(file, lambda held: {name: t for name, t in held.items() if name != "pooler.dense.bias"})
    elif kind == "width":
        spoilt(file, lambda held: {**held, "pooler.dense.bias": torch.zeros(3)})
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:-8])
    elif kind == "tokenizer":
        (out / "tokenizer.json").unlink()
    else:
        torch.save(load_file(file), out / "pytorch_model.bin")
        file.unlink()
    messages = {
        "names": r"is not there \(0 of \d+ tensors",
        "missing": r"pooler\.dense\.bias is not there \(\d+ of \d+ tensors",
        "width": r"pooler\.dense\.bias has shape \[3\], not \[16\]",
        "cut": r"out/model\.safetensors cannot be loaded",
        "tokenizer": "out holds no tokenizer",
        "pickle": "head.safetensors|pytorch_model.bin is not read",
    }
    with pytest.raises(UserError, match=messages[kind]):
        vilt.build({"name": "v", "weights": str(out)}, "vqa", ["no", "yes", "red"], seed=9)


def test_the_authors_head_is_for_classes(conf: dict[str, Any], tmp_path: Path) -> None:
    student = vilt.build(conf | {"head": "vilt"}, "vqa", ["no", "yes"], seed=1)
    assert [type(layer).__name__ for layer in student.head.children()] == ["Linear", "LayerNorm", "GELU", "Linear"]
    vilt.save(student, tmp_path / "model.safetensors")
    assert vilt.load(tmp_path / "model.safetensors").head_kind == "vilt"
    with pytest.raises(UserError, match=r"student\.head is vilt, a classifier, and task vcr has choices; write uniter"):
        vilt.build(conf | {"head": "vilt"}, "vcr", ["0", "1", "2", "3"], seed=1)


def test_a_folder_that_was_not_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"student\.json is missing; name a folder that vlkd export wrote"):
        exported.load(tmp_path)
    (tmp_path / "student.json").write_text('{"kind": "os"}')
    with pytest.raises(UserError, match="kind is 'os', not one of bart, uniter, vilt, visual_bert"):
        exported.load(tmp_path)


def test_a_plugins_student_is_loaded_by_its_own_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = types.ModuleType("toy_of_a_plugin")
    monkeypatch.setattr(exported.components, "brought", lambda _: ["toy"])
    monkeypatch.setattr(exported.components, "load", lambda _, name: {"toy": plugin}[name])
    (tmp_path / "student.json").write_text('{"kind": "toy"}')
    with pytest.raises(UserError, match="toy_of_a_plugin has no function load_folder"):
        exported.load(tmp_path)
    plugin.load_folder = lambda folder: folder
    assert exported.load(tmp_path) == tmp_path
