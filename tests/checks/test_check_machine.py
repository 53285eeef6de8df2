import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vlkd_steps.checks import machine

# The header and the query as nvidia-smi 580 prints them.
SMI = """#!/bin/sh
case "$*" in
*query-gpu*) echo "NVIDIA H100 80GB HBM3, 81559, 10, 580.95.05" ;;
*) echo "| NVIDIA-SMI 580.95.05              Driver Version: 580.95.05      CUDA Version: {cuda}     |" ;;
esac
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program of this name first on PATH: no GPU is needed to read what one prints."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(text: str) -> None:
        (tmp_path / "nvidia-smi").write_text(text)
        (tmp_path / "nvidia-smi").chmod(0o755)

    return write


def test_a_gpu_that_torch_can_use(nvidia_smi: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(SMI.format(cuda="13.0"))
    (gpu,), driver = machine.nvidia(2)
    assert gpu.line() == "  ok    gpu 0            NVIDIA H100 80GB HBM3, 10 of 81559 MiB in use, driver 580.95.05"
    assert machine.device(driver, lambda: "13.0").found == "cuda (torch is built for CUDA 13.0)"
    assert machine.device(driver, lambda: "14.1").found.startswith(
        "cpu: the driver supports CUDA 13.0, torch is built for 14"
    )
    assert machine.device(driver, lambda: None).level == "warn"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "hides the GPUs" in machine.device(driver, lambda: "13.0").found


def test_a_driver_that_does_not_answer(nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi(
        '#!/bin/sh\necho "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."\nexit 9\n'
    )
    (found,), driver = machine.nvidia(2)
    assert (found.level, driver) == ("warn", None)
    assert "couldn't communicate" in found.found
    nvidia_smi("#!/bin/sh\nexec sleep 60\n")
    assert machine.nvidia(0.2)[0][0].level == "warn"


def test_without_nvidia_smi_the_cpu_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,), driver = machine.nvidia(1)
    assert (found.level, driver) == ("ok", None)
    if sys.platform == "linux":
        assert machine.device(driver).found == "cpu"


def test_torchs_cuda_is_read_without_importing_it() -> None:
    torch = sys.modules.get("torch")
    built = machine.cuda_of_torch()
    assert sys.modules.get("torch") is torch
    assert built is None or int(built.partition(".")[0]) >= 11


def test_memory_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_group_limit", lambda: None)
    small = tmp_path / "meminfo"
    small.write_text("MemTotal:       24684084 kB\nMemFree: 1 kB\nMemAvailable:    1048576 kB\n")
    assert machine.memory(small).line().startswith("  warn  memory           1.0 of 23.5 GiB free; end other")
    monkeypatch.setattr(machine, "_group_limit", lambda: 3 << 30)
    assert "this session is limited to 3.0 GiB" in machine.memory(small).found
    assert machine.memory().level in ("ok", "warn")
    assert "GiB free here (" in machine.disk(tmp_path).found
    monkeypatch.setattr(machine, "DISK_NEEDED", 1 << 60)
    assert machine.disk(tmp_path).level == "fail"


def test_this_python_will_do() -> None:
    assert machine.python().level == "ok"
    assert machine.processors().level == "ok"
