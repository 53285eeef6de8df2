import pytest
import torch

from vlkd_steps.errors import UserError
from vlkd_steps.training import hardware


def test_precision_auto_looks_at_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, expected in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        assert hardware.resolve_precision("auto", "cpu") == expected
        assert hardware.resolve_precision("auto", "cuda") == expected
        assert hardware.resolve_precision("fp32", "cpu") == "fp32"
    assert hardware.resolve_precision("auto", "mps") == "fp32"


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
    with pytest.raises(UserError, match="precision is 'fp16'; choose from: auto, fp32, bf16"):
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
