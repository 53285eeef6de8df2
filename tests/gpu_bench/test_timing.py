import itertools
import time

import pytest
import torch
from torch import nn

from vlkd_steps.gpu_bench import card, timing
from vlkd_steps.gpu_bench.results import Line, table

CPU = torch.device("cpu")


def test_the_clock_tells_waiting_from_computing() -> None:
    def batches():
        for number in itertools.count():
            time.sleep(0.01)
            yield number

    clock, taken = timing.Clock(0.3, CPU), []

    def loop() -> None:
        for batch in clock(batches()):
            taken.append(batch)
            time.sleep(0.02)

    with pytest.raises(timing.Enough):
        loop()
    assert taken == list(range(timing.WARM + clock.steps))
    assert 0.3 <= clock.took < 1.0
    assert clock.waited / clock.took == pytest.approx(1 / 3, abs=0.15)


def test_operations_of_a_matrix_product_and_its_gradient() -> None:
    left, right = torch.randn(4, 5, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    assert timing.operations(lambda: (left @ right).sum().backward()) == 3 * 2 * 4 * 5 * 6


def test_operations_of_attention_are_those_of_its_slow_path_too() -> None:
    """At inference without autocast torch computes the whole block in one kernel."""
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    shown = torch.randn(3, 5, 8)

    def step() -> None:
        with torch.inference_mode():
            block(shown)
            attention(shown, shown, shown, need_weights=False)

    def in_bf16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            step()

    assert timing.operations(step) == timing.operations(in_bf16) > 0
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(("memory", "found"), [(64, 64), (63, 32), (7, 0), (10**6, 512)])
def test_the_largest_batch_is_the_last_that_fits(memory: int, found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(size: int) -> None:
        if size > memory:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(timing, "forget", lambda: None)  # collects what a step leaves, of all tests: a second
    assert timing.largest(step, 8, 512) == found


def test_other_errors_than_a_memory_that_is_too_small_are_themselves() -> None:
    for error in (RuntimeError("CUDA error: an illegal memory access was encountered"), ValueError("out of memory")):
        with pytest.raises(type(error)) as raised, timing.fitting():
            raise error
        assert raised.value is error
    for words in ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "MPS backend out of memory"):
        with pytest.raises(torch.OutOfMemoryError, match=words), timing.fitting():
            raise RuntimeError(words)


def test_a_steps_rate_its_share_of_the_peak_and_its_peer() -> None:
    line = Line("a", items=64, seconds=0.5, share=0.4, bare=0.4, waiting=0.05, memory=3 * 2**30, largest=128)
    assert line.described()["items_per_second"] == 128
    cells = table([line]).splitlines()[-1].strip("| ").split(" | ")
    assert cells == ["a", "64", "128", "500.0", "40.0 %", "5.0 %", "1.250", "3.0 GiB", "128"]


def test_the_peak_of_what_has_no_data_sheet_is_measured() -> None:
    found = card.of(CPU, "fp32")
    assert (found.source, found.memory) == ("measured", None)
    assert found.peak > 1e8


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("Tesla V100-PCIE-32GB", "V100"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        *(
            (name, None)
            for name in (
                "NVIDIA L40", "NVIDIA RTX A1000", "NVIDIA RTX A4000", "NVIDIA A10G", "NVIDIA T400 4GB",
                "NVIDIA H100 NVL", "NVIDIA GeForce RTX 3090 Ti", "NVIDIA GeForce RTX 4090 Laptop GPU",
                "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
            )
        ),
    ],
)  # fmt: skip
def test_a_card_is_known_by_its_whole_name(name: str, model: str | None) -> None:
    assert card.sheet(name) == (card.SHEETS[model] if model else None)
