import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import ViltConfig, ViltModel

from vlkd_steps.core import hardware
from vlkd_steps.core.devices import PRECISIONS
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import tokenizer
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students.vilt import ViltStudent


@pytest.mark.parametrize(
    ("native", "of_gpu"),
    [
        (True, {"auto": "bf16", "fp32": "fp32", "tf32": "tf32", "bf16": "bf16"}),
        (False, {"auto": "fp32", "fp32": "fp32", "tf32": "fp32", "bf16": "bf16"}),
    ],
)
def test_precision_is_resolved_by_the_hardware(
    monkeypatch: pytest.MonkeyPatch, native: bool, of_gpu: dict[str, str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    for device in ("cpu", "mps"):
        found = {name: hardware.resolve_precision(name, device) for name in PRECISIONS}
        assert found == {"auto": "fp32", "fp32": "fp32", "tf32": "fp32", "bf16": "bf16"}
    assert {name: hardware.resolve_precision(name, "cuda") for name in PRECISIONS} == of_gpu


def test_tf32_is_allowed_for_a_block_on_a_gpu_alone() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = allowed()
    for choice in (True, False):
        with hardware.tf32("cuda", choice):
            assert allowed() == (choice, choice)
        assert allowed() == before
        with hardware.tf32("cpu", choice):
            assert allowed() == before


def test_device_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert hardware.resolve_device("auto") == expected
    with pytest.raises(UserError, match="device is cuda, but torch sees no such device here"):
        hardware.resolve_device("cuda")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="device is 'gpu'; choose from: auto, cpu, cuda, mps"):
        hardware.resolve_device("gpu")
    with pytest.raises(UserError, match="precision is 'fp16'; choose from: auto, fp32, tf32, bf16"):
        hardware.resolve_precision("fp16", "cuda")


def test_threads_are_set_from_the_configuration() -> None:
    before = torch.get_num_threads()
    try:
        chosen = hardware.accelerator({"device": "cpu", "precision": "fp32", "threads": 2})
        assert torch.get_num_threads() == 2
        assert str(chosen.device) == "cpu"
    finally:
        torch.set_num_threads(before)


def test_the_processes_that_were_started_are_those_that_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert hardware.resolve_processes({"batch_size": 7}) == 1
    with pytest.raises(UserError, match=r"training\.processes is 2, but 1 were started \(WORLD_SIZE\)") as refused:
        hardware.resolve_processes({"processes": 2, "batch_size": 8})
    for advice in ("training.processes to 1 in params.yaml under overrides", "nodes x tasks", "profile"):
        assert advice in str(refused.value)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match=r"training\.processes is 1, but 4 were started"):
        hardware.accelerator({"device": "cpu"})
    assert hardware.resolve_processes({"processes": 4, "batch_size": 32}) == 4


def test_a_batch_that_cannot_be_shared_and_a_number_that_is_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match=r"batch_size is 30, which 4 processes .* write a multiple of 4, such as 28"):
        hardware.resolve_processes({"processes": 4, "batch_size": 30})
    with pytest.raises(UserError, match="such as 4"):
        hardware.resolve_processes({"processes": 4, "batch_size": 3})
    for wrong in (0, "two", True, 1.5):
        with pytest.raises(UserError, match=r"training\.processes is .*; write a whole number above 0"):
            hardware.resolve_processes({"processes": wrong})


def test_one_process_of_a_launcher_trains_without_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """submitit sets these also for a job of one task; a group of one would need a port for nothing."""
    for name, value in {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    chosen = hardware.accelerator({"device": "cpu", "precision": "fp32"})
    assert (chosen.num_processes, chosen.use_distributed, torch.distributed.is_initialized()) == (1, False, False)


def vilt() -> ViltStudent:
    words = tokenizer.word_tokenizer(["what", "color"])
    config = ViltConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, hidden_dropout_prob=0.2,
        image_size=32, patch_size=16, max_position_embeddings=8, vocab_size=len(words),
    )  # fmt: skip
    torch.manual_seed(0)
    return ViltStudent(ViltModel(config), words, "vqa", ["red", "green", "blue"]).train()


def gradients(student: ViltStudent) -> tuple[float, dict[str, Tensor]]:
    """A loss over every kind of output and its gradients, with dropout drawn from one seed."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 6, (3, 5), generator=generator)
    images = torch.randint(0, 256, (3, 3, 32, 32), generator=generator, dtype=torch.uint8)
    torch.manual_seed(2)
    output = student(Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images=images))
    loss = output.logits.square().sum() + output.visual.sin().sum() + output.text.cos().sum()
    loss.backward()
    return loss.item(), {name: p.grad for name, p in student.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_computes_layers_twice_and_changes_no_bit() -> None:
    plain = vilt()
    saving = copy.deepcopy(plain)
    hardware.adapt(saving, {"gradient_checkpointing": True})
    times = {"plain": 0, "saving": 0}
    for name, student in (("plain", plain), ("saving", saving)):

        def count(*_: object, name: str = name) -> None:
            times[name] += 1

        student.vilt.encoder.layer[0].attention.register_forward_pre_hook(count)
    (loss, expected), (same_loss, found) = gradients(plain), gradients(saving)
    assert loss == same_loss
    assert len(expected) > 30
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert times == {"plain": 1, "saving": 2}


def test_a_students_own_way_to_save_memory_is_taken() -> None:
    class Own(nn.Module):
        called = False

        def checkpointing(self) -> None:
            self.called = True

    student = Own()
    hardware.adapt(student, {})
    assert not student.called
    hardware.adapt(student, {"gradient_checkpointing": True})
    assert student.called


def test_a_student_that_cannot_save_memory_reports_it() -> None:
    with pytest.raises(UserError, match=r"gradient_checkpointing is true, but Linear neither has .* set it to false"):
        hardware.adapt(nn.Linear(2, 2), {"gradient_checkpointing": True})
    with pytest.raises(UserError, match="compile is 'yes'; write true or false"):
        hardware.adapt(nn.Linear(2, 2), {"compile": "yes"})


def test_a_compiled_student_keeps_its_parameters_names() -> None:
    """Compiling itself, a minute, is measured in benchmarks/compile_student.py."""
    student = vilt()
    names = list(student.state_dict())
    hardware.adapt(student, {"compile": True})
    assert list(student.state_dict()) == names
    assert student._compiled_call_impl is not None
