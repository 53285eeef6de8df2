from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from vlkd_steps.core import distributed


def take_part(rank: int, folder: Path) -> None:
    """One of two processes that meet by gloo; writes what it was told."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    told = distributed.everyone(f"GPU {rank}")
    (folder / f"{rank}.txt").write_text(", ".join(told), encoding="utf-8")
    torch.distributed.destroy_process_group()


def test_every_process_is_told_what_each_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.everyone("GPU 0") == ["GPU 0"]
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    multiprocessing.spawn(take_part, args=(tmp_path,), nprocs=2)
    assert [(tmp_path / f"{rank}.txt").read_text(encoding="utf-8") for rank in (0, 1)] == ["GPU 0, GPU 1"] * 2
