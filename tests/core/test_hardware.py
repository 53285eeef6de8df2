import copy
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Backend, BackendConfig
from transformers import ViltConfig, ViltModel

from vlkd_steps.core import distributed, hardware
from vlkd_steps.core.devices import PRECISIONS
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import tokenizer
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students.vilt import ViltStudent
from vlkd_steps.teachers.models import computing


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


def as_torch_pins(tensor: Tensor) -> Tensor:
    """What ATen's _pin_memory does, without a GPU: a copy of the same strides."""
    size = 1 + sum((count - 1) * stride for count, stride in zip(tensor.shape, tensor.stride(), strict=True))
    storage = torch.UntypedStorage(size * tensor.element_size())
    return torch.empty(0, dtype=tensor.dtype).set_(storage, 0, tensor.shape, tensor.stride()).copy_(tensor)


def test_a_tensor_whose_elements_share_memory_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    one_for_all = torch.ones(1, dtype=torch.int64).expand(4)
    with pytest.raises(RuntimeError, match="single memory location"):
        as_torch_pins(one_for_all)
    monkeypatch.setattr(Tensor, "pin_memory", as_torch_pins)
    assert hardware.pinned(one_for_all).tolist() == [1, 1, 1, 1]
    inputs = Inputs(torch.ones(4, 2), torch.ones(4, 2), torch.ones(4, 2))
    batch = Batch(inputs, torch.ones(4, 2), torch.arange(4), torch.arange(4), extra={"written": one_for_all})
    assert batch.pin_memory().extra["written"].tolist() == [1, 1, 1, 1]


class Spied(Tensor):
    """Notes what is asked of it instead of doing it."""

    asked: ClassVar[list[Any]] = []

    def pin_memory(self, *_: Any) -> Tensor:
        self.asked.append("pinned")
        return self

    def to(self, *given: Any, **more: Any) -> Tensor:
        self.asked.append((str(given[0]), more.get("non_blocking", False)))
        return self


@pytest.mark.parametrize(
    ("device", "asked"),
    [("cuda", ["pinned", ("cuda", True)]), ("mps", [("mps", False)]), ("cpu", [("cpu", False)])],
)
def test_only_a_gpu_of_cuda_copies_later_and_from_page_locked_memory(
    device: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spied, "asked", [])
    tensor = torch.ones(2, 3).as_subclass(Spied)
    hardware.moved(tensor, torch.device(device))
    assert Spied.asked == asked
    Spied.asked.clear()
    Batch(Inputs(tensor, tensor, tensor), tensor, tensor, tensor).to(torch.device(device))
    assert Spied.asked == 6 * asked


def test_device_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert hardware.resolve_device("auto") == expected
    with pytest.raises(UserError, match="device is cuda, but torch sees no such device here"):
        hardware.resolve_device("cuda")


class Chosen:
    """Accelerate on a machine with GPUs; keeps what it is given."""

    device, num_processes, mixed_precision = torch.device("cuda"), 2, "no"
    handlers: ClassVar[list[Any]] = []

    def __init__(self, kwargs_handlers: list[Any], mixed_precision: str, **_: Any) -> None:
        Chosen.handlers, self.mixed_precision = kwargs_handlers, mixed_precision
        self.num_processes = int(os.environ.get("WORLD_SIZE", "1"))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine with two GPUs; torch's settings are as before afterwards."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(hardware, "Accelerator", Chosen)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    threads, fill = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield monkeypatch
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def test_processes_on_gpus_agree_without_them(gpus: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        gpus.setenv(name, value)
    hardware.accelerator({"processes": 2, "batch_size": 4})
    backend = Chosen.handlers[0].to_kwargs()["backend"]
    assert BackendConfig(Backend(backend)).get_device_backend_map() == {"cpu": "gloo", "cuda": "nccl"}
    assert PartialState._prepare_backend(None, cpu=False, backend=backend)[0] == backend
    gpus.setenv("WORLD_SIZE", "1")
    hardware.accelerator({})
    assert "backend" not in Chosen.handlers[0].to_kwargs()


def test_algorithms_on_a_gpu_are_deterministic_and_no_memory_is_filled_for_nothing(gpus: pytest.MonkeyPatch) -> None:
    hardware.accelerator({})
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize(("precision", "allowed"), [("bf16", False), ("fp32", False), ("tf32", True)])
def test_only_precision_tf32_rounds_float32_products(gpus: pytest.MonkeyPatch, precision: str, allowed: bool) -> None:
    chosen = hardware.accelerator({"precision": precision})
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == allowed
    assert hardware.precision(chosen) == precision
    with computing.Computing({"precision": precision}, "cuda")():
        assert torch.backends.cuda.matmul.allow_tf32 == allowed


def test_processes_that_share_a_gpu_are_refused(gpus: pytest.MonkeyPatch) -> None:
    gpus.setenv("WORLD_SIZE", "2")
    training, here = {"processes": 2, "batch_size": 8}, socket.gethostname()
    gpus.setattr(distributed, "count", lambda: 2)
    gpus.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="GPU-a"))
    gpus.setattr(distributed, "everyone", lambda own: [own, f"GPU-a of {here}"])
    with pytest.raises(UserError, match=r"2 processes .* GPU-a") as refused:
        hardware.accelerator(training)
    for advice in ("gpu of this rule", "CUDA_VISIBLE_DEVICES", "training.processes"):
        assert advice in str(refused.value)
    for other in (f"GPU-b of {here}", "GPU-a of another_node"):  # also where each process sees one GPU only
        gpus.setattr(distributed, "everyone", lambda own, other=other: [own, other])
        assert hardware.accelerator(training).num_processes == 2


@pytest.mark.parametrize(
    ("built", "visible", "said"),
    [
        (None, None, ["built for CPUs only"]),
        ("13.0", None, ["CUDA_VISIBLE_DEVICES is not set", "CUDA 13.0"]),
        ("13.0", "", ["CUDA_VISIBLE_DEVICES is ''"]),
    ],
)
def test_a_gpu_that_is_not_there_is_explained(
    built: str | None, visible: str | None, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError, match=r"device of teacher eyes is cuda, but") as refused:
        computing.device_of({"name": "eyes", "device": "cuda"})
    for words in [*said, "write auto"]:
        assert words in str(refused.value)


def test_a_gpu_of_slurm_that_torch_does_not_see_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    hardware._warn_once.cache_clear()
    assert hardware.resolve_device("auto") == "cpu"
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    assert hardware.resolve_device("cpu") == "cpu"
    assert not caplog.records
    for _ in range(2):
        assert hardware.resolve_device("auto", "device of teacher eyes") == "cpu"
    (record,) = caplog.records
    for words in ("device of teacher eyes is auto", "torch sees none", "write device cpu"):
        assert words in record.getMessage()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match=r"--device is 'cuda:1'; write cuda, .* CUDA_VISIBLE_DEVICES=1"):
        hardware.resolve_device("cuda:1", "--device")
    with pytest.raises(UserError, match="precision of teacher eyes is 'fp16'; choose"):
        computing.Computing({"name": "eyes", "precision": "fp16"}, "cpu")
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
