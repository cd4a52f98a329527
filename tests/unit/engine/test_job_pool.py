"""The pool of compile jobs: tokens in a FIFO, counted as makes come and go, and had again after a loss."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from matrix.engine import job_pool
from matrix.engine.job_pool import JobPool, JobPoolShare, shares_kernel
from matrix.engine.protocol import ContainerSpec, LineCallback
from tests.fakes.engine import FakeEngine

OWNER = f"{os.geteuid()}:{os.getegid()}"


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[JobPool]:
    made = JobPool(8, OWNER, tmp_path / "lanes")
    yield made
    made.close()
    assert [*(tmp_path / "lanes").iterdir()] == []


def take_all(share: JobPoolShare) -> int:
    """Take the tokens that are there, as a make does that has much to compile; how many."""
    descriptor = os.open(share.mount.host, os.O_RDWR | os.O_NONBLOCK)
    try:
        return len(os.read(descriptor, 10_000))
    except BlockingIOError:
        return 0
    finally:
        os.close(descriptor)


def put(share: JobPoolShare, tokens: int) -> None:
    descriptor = os.open(share.mount.host, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, b"+" * tokens)
    os.close(descriptor)


def test_a_make_has_its_own_job_and_one_for_each_token(pool: JobPool) -> None:
    with pool.join() as one:
        assert one.env == {"MAKEFLAGS": "-j8 --jobserver-auth=fifo:/jobs"}
        assert (one.mount.path, one.mount.read_only) == ("/jobs", True)
        assert stat.S_ISFIFO(one.mount.host.stat().st_mode)
        assert take_all(one) == 7


def test_makes_share_what_is_there_and_one_that_ends_leaves_its_own_job_to_the_others(pool: JobPool) -> None:
    with pool.join() as one:
        with pool.join() as other:
            assert other == one
            assert take_all(one) == 6
            put(one, 6)
        assert take_all(one) == 7


def test_a_make_that_comes_when_no_token_is_left_is_settled_when_one_ends(pool: JobPool) -> None:
    with pool.join() as one:
        assert take_all(one) == 7
        with pool.join():
            assert take_all(one) == 0
        put(one, 7)
        assert take_all(one) == 7


def test_what_a_killed_make_took_along_is_there_for_those_that_start_later(pool: JobPool) -> None:
    with ExitStack() as stack:
        stays = stack.enter_context(pool.join())
        with pool.join() as killed:
            assert take_all(killed) == 6
            pool.replace_tokens()
        later = stack.enter_context(pool.join())
        assert later.mount.host != stays.mount.host
        assert take_all(later) == 6, "one job is that of the make which stays, and one its own"


def test_tokens_that_were_eaten_or_made_are_counted_anew_when_nobody_is_at_work(pool: JobPool) -> None:
    with pool.join() as one:
        take_all(one)
    with pool.join() as one:
        put(one, 500)
    with pool.join() as one:
        assert take_all(one) == 7


def test_with_makes_always_at_work_eaten_tokens_are_replaced_after_some_minutes(
    pool: JobPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(pool.join())
        take_all(first)
        assert take_all(stack.enter_context(pool.join())) == 0
        monkeypatch.setattr(job_pool, "_MAX_PIPE_AGE", -1.0)
        assert take_all(stack.enter_context(pool.join())) == 5


def test_a_fifo_that_a_build_filled_up_blocks_nobody(pool: JobPool) -> None:
    with pool.join(), pool.join() as one:
        descriptor = os.open(one.mount.host, os.O_RDWR | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(descriptor, b"+" * 4096)
        os.close(descriptor)


def test_more_makes_than_jobs_each_have_their_own(tmp_path: Path) -> None:
    pool = JobPool(1, OWNER, tmp_path)
    with pool.join() as one, pool.join():
        assert take_all(one) == 0
    with pool.join() as one:
        assert take_all(one) == 0
    pool.close()


def answering(line: str) -> FakeEngine:
    def play(_container: ContainerSpec, on_line: LineCallback) -> int:
        on_line(line)
        return 0

    return FakeEngine(play, images=["i"])


def test_only_containers_on_this_very_kernel_can_take_part() -> None:
    own = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert shares_kernel(answering(own), "i", OWNER)
    assert not shares_kernel(answering("8c2f0e4c-0000-4000-8000-000000000000"), "i", OWNER)
    assert not shares_kernel(answering(""), "i", OWNER)
