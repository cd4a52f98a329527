"""The order of the lanes, and the job budget that they share."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.builder.lanes import RequestsAhead, group_into_lanes, order_by_length
from matrix.builder.run_context import JobBudget
from matrix.plan import Request

# A busy machine may take its time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def budget(jobs: int, at_once: int, lanes: int, done: int = 0) -> JobBudget:
    """A budget of so many lanes, of which some are done."""
    made = JobBudget(jobs, at_once, lanes)
    for _ in range(done):
        made.release_lane()
    return made


@pytest.mark.parametrize(
    ("jobs", "lanes", "share"), [(2, 1, 2), (8, 2, 4), (8, 3, 2), (2, 4, 1), (1, 1, 1), (3, 2, 1), (64, 8, 8)]
)
def test_lanes_share_the_jobs_and_each_has_at_least_one(jobs: int, lanes: int, share: int) -> None:
    assert budget(jobs, lanes, lanes).compute_share() == share


def test_a_lane_that_is_done_leaves_its_share_to_the_others() -> None:
    assert [budget(8, 4, 4, done).compute_share() for done in (1, 2, 3, 4)] == [2, 4, 8, 8]


def test_lanes_that_wait_for_their_turn_take_nothing() -> None:
    assert budget(8, 2, 16, 1).compute_share() == 4


@steady
@given(jobs=st.integers(1, 64), lanes=st.integers(1, 64), left=st.integers(0, 64))
def test_all_shares_together_stay_within_the_budget_or_are_one_each(jobs: int, lanes: int, left: int) -> None:
    share = budget(jobs, lanes, 64, 64 - left).compute_share()
    assert share >= 1
    assert share == 1 or share * min(lanes, left) <= jobs


def test_the_longest_lanes_start_first_and_equal_ones_in_the_order_of_the_plan() -> None:
    counts = {("s390", "gcc-14"): 2, ("x86", "own"): 6, ("x86", "clang-19"): 5, ("arm64", "gcc-13"): 6}
    requests = [
        Request.from_symbols(arch, toolchain, "defconfig", {"VFIO": str(number)})
        for (arch, toolchain), count in counts.items()
        for number in range(count)
    ]
    templates = {"gcc-13": "gcc", "gcc-14": "gcc", "clang-19": "clang", "own": None}
    lanes = order_by_length(group_into_lanes(requests), templates)
    assert [lane.name.removesuffix("/defconfig") for lane in lanes] == [
        "x86/clang-19",
        "x86/own",
        "arm64/gcc-13",
        "s390/gcc-14",
    ]


def test_a_lane_looks_ahead_once_at_each_request_however_few_need_conf() -> None:
    requests = [Request("x86", "gcc-14", "defconfig", (("N", str(number)),)) for number in range(1000)]
    needed = {requests[number] for number in (*range(0, 40, 2), 500, 900)}
    asked: list[Request] = []

    def needs_conf(request: Request) -> bool:
        asked.append(request)
        return request in needed

    ahead = RequestsAhead(requests, needs_conf)
    waiting = [request for request in requests if request in needed]
    for number, request in enumerate(waiting):
        assert ahead.list_from(request, 8) == waiting[number : number + 8]
    assert len(asked) == len({*asked}) <= 1000
