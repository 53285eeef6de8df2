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
