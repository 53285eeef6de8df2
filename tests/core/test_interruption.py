import os
import signal
import subprocess
import sys
import threading

import pytest

from vlkd_steps.core.interruption import Interrupted, stop_request


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGUSR2, 140)],
)
def test_a_signal_is_noted_and_shown_in_the_exit_status(number: signal.Signals, status: int) -> None:
    outer = signal.signal(number, signal.SIG_DFL)  # whatever the tests were started under, such as nohup
    try:
        with stop_request() as stop:
            assert not stop
            stop.raise_if_set()
            os.kill(os.getpid(), number)
            assert stop
            with pytest.raises(
                Interrupted, match=f"stopped by {number.name}; the next start continues from here"
            ) as error:
                stop.raise_if_set()
        assert error.value.exit_status == status
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, outer)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_nohup_or_a_shell_in_the_background_ignores_stops_nothing(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_request() as stop:
            os.kill(os.getpid(), number)
            assert not stop
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_block_within_a_block_knows_what_came_before_it() -> None:
    with stop_request() as outer:
        with stop_request() as early:
            assert early is outer
        os.kill(os.getpid(), signal.SIGTERM)
        with stop_request() as inner:
            assert inner is outer
            assert inner
        os.kill(os.getpid(), signal.SIGUSR2)  # the inner block's end has kept the handlers
        assert outer.signal_number == signal.SIGUSR2
    with stop_request() as later:
        assert not later


def test_another_thread_gets_a_request_that_nobody_sets() -> None:
    found = []

    def work() -> None:
        with stop_request() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_it_does_not_import_torch() -> None:
    code = "import sys, vlkd_steps.core.interruption; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
