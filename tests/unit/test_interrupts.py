"""Signals, in processes of their own: what they end, what they wait for, and what they do not wait for."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from matrix.interrupts import defer_interrupts

pytestmark = pytest.mark.usefixtures("hangups_arrive")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
START = "from matrix.interrupts import *; import signal, sys, threading, time; handle_interrupts()\n"
DEFERRED = f"""{START}
try:
    with defer_interrupts():
        print('on', flush=True)
        time.sleep(1.5)
        print('whole', flush=True)
    print('too far', flush=True)
except KeyboardInterrupt:
    print('interrupted', flush=True)
"""
STUCK = f"""{START}
threading.Thread(target=time.sleep, args=(60,)).start()
try:
    print('on', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print('interrupted')
    exit_without_threads(130)
"""


def play(script: str, *numbers: signal.Signals) -> tuple[str, int, float]:
    """What a script prints after these signals, one after another, its exit code, and the seconds it took."""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        started = time.monotonic()
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.3)
        output, _ = process.communicate(timeout=30)
    return output, process.returncode, time.monotonic() - started


def play_each(script: str, count: int) -> list[tuple[str, int, float]]:
    """The same of each signal, so many times: in processes side by side, as they mostly sleep."""
    with ThreadPoolExecutor(len(SIGNALS)) as pool:
        return list(pool.map(lambda number: play(script, *[number] * count), SIGNALS))


def play_best(script: str, *numbers: signal.Signals) -> float:
    """The fewest seconds of three plays, each of which must be interrupted: a busy machine ends one late, and
    what waits for its 1.5 seconds is late in all."""
    played = [play(script, *numbers) for _ in range(3)]
    assert {output for output, *_ in played} == {"interrupted\n"}
    return min(seconds for *_, seconds in played)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_what_must_be_whole(number: signal.Signals) -> None:
    assert play(DEFERRED, number)[0] == "whole\ninterrupted\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_one_does_not_wait(number: signal.Signals) -> None:
    assert play_best(DEFERRED, number, number) < 1.4


@pytest.mark.parametrize("number", SIGNALS)
def test_any_number_of_them_wait_for_what_is_short(number: signal.Signals) -> None:
    short = DEFERRED.replace("defer_interrupts()", "defer_interrupts(every=True)")
    assert play(short, number, number, number)[0] == "whole\ninterrupted\n"


def test_a_second_one_ends_the_long_part_around_the_short_one() -> None:
    short = "with defer_interrupts(every=True):\n            pass\n        time.sleep(1.5)"
    assert play_best(DEFERRED.replace("time.sleep(1.5)", short), signal.SIGINT, signal.SIGINT) < 1.4


def test_without_a_signal_nothing_happens() -> None:
    assert play(DEFERRED)[0] == "whole\ntoo far\n"


def test_one_that_is_ignored_stays_ignored() -> None:
    ignoring = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{DEFERRED}"
    assert play(ignoring, signal.SIGHUP, signal.SIGHUP)[0] == "whole\ntoo far\n"


def test_a_thread_at_work_keeps_no_interrupted_process() -> None:
    played = play_each(STUCK, 1)
    assert [(output, code) for output, code, _ in played] == [("interrupted\n", 130)] * 3
    assert all(seconds < 10 for *_, seconds in played)


PRESSED = f"""{START}
def remove():
    time.sleep(2)
    print('removed', flush=True)

threading.Thread(target=remove).start()
try:
    try:
        print('on', flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(60)
except KeyboardInterrupt:
    pass
exit_without_threads(130)
"""


@pytest.mark.parametrize("count", [2, 3, 5])
def test_those_behind_the_second_do_not_break_into_what_a_thread_ends(count: int) -> None:
    played = play_each(PRESSED, count)
    assert [(output, code) for output, code, _ in played] == [("removed\n", 130)] * 3


def test_the_third_ends_what_nothing_else_ends_within_seconds() -> None:
    played = play_each(PRESSED.replace("time.sleep(2)", "time.sleep(60)"), 4)
    assert [(output, code) for output, code, _ in played] == [("", 130)] * 3
    assert all(seconds < 12 for *_, seconds in played)


def test_in_another_thread_there_is_nothing_to_defer() -> None:
    entered = []

    def enter() -> None:
        with defer_interrupts():
            entered.append(threading.current_thread())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [thread]
