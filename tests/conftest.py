"""Each engine in turn; and signals that arrive wherever pytest was started: under nohup, from cron, behind a
script's ``&``.

Who starts a process may ignore a signal for it. Python leaves it ignored, and so does every child: a test
that sends it then waits for an end that never comes. A signal with a handler is the default for a child.
"""

import gc
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from tests.engines import REAL_ENGINES, use_engine


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay to the end: they are not gone through for garbage, neither while they are
    collected nor after."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """SIGINT is KeyboardInterrupt in each test, and ends what it starts. What handles a signal after a test
    is what did before: kmatrix's own handlers count signals, and end the process after the third."""
    with (
        _handle_signal(signal.SIGINT, signal.default_int_handler),
        _handle_signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM)),
        _handle_signal(signal.SIGHUP, signal.getsignal(signal.SIGHUP)),
    ):
        yield


@pytest.fixture
def hangups_arrive() -> Iterator[None]:
    """SIGHUP ends what a test starts. pytest itself outlives it, as nohup wants."""
    with _handle_signal(signal.SIGHUP, lambda *_: None):
        yield


@pytest.fixture(scope="module", params=REAL_ENGINES)
def each_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of each engine in turn. Until the module's tests on it are over, `connect_engine` and the
    processes that tests start find this one; a fixture of the module that keeps it must ask for this."""
    name: str = request.param
    with use_engine(name):
        yield name


@contextmanager
def _handle_signal(number: signal.Signals, handler: "signal._HANDLER") -> Iterator[None]:
    before = signal.signal(number, handler)
    yield
    signal.signal(number, before)
