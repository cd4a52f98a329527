"""What a cell's stages amount to, and what exit code a run's cells deserve."""

from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.record.states import Evidence, State, compute_run_exit_code, find_worst_state

# A busy machine may take its time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PASS, WARN, FAIL, EMPTY = State.PASS, State.WARN, State.FAIL, State.EMPTY
UNREACHABLE, NOT_RUN = State.UNREACHABLE, State.NOT_RUN
UNTRIED = {State.TIMEOUT, State.OOM, State.INFRA, State.CANCELLED, State.NOT_RUN, State.UNKNOWN}

some_states = st.lists(st.sampled_from(State))


def expected(states: Iterable[State], *, interrupted: bool, werror: bool) -> int:
    """The design's sentence, read slowly: when several hold, 130, 100, 2, 101, 0."""
    seen = set(states)
    if interrupted:
        return 130
    if FAIL in seen:
        return 100
    if seen & UNTRIED:
        return 2
    if not seen & {PASS, WARN}:
        return 1  # nothing was compiled, so nothing was proven
    return 101 if werror and WARN in seen else 0


def test_the_words_of_the_record() -> None:
    assert {str(state) for state in State} == {
        *("pass", "warn", "fail", "empty", "unreachable", "timeout", "oom", "infra", "cancelled", "not-run"),
        "unknown",
    }
    assert {str(item) for item in Evidence} == {
        *("built", "same-config", "remembered", "same-objects", "unaffected", "resumed", "imported")
    }


# Exit codes


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([PASS], 0),
        ([WARN], 0),
        ([PASS, WARN], 0),
        ([PASS, EMPTY], 0),
        ([PASS, UNREACHABLE], 0),
        ([], 1),
        ([EMPTY], 1),
        ([UNREACHABLE], 1),
        ([EMPTY, UNREACHABLE, EMPTY], 1),
        ([FAIL], 100),
        ([FAIL, PASS, WARN], 100),
        ([FAIL, NOT_RUN], 100),
        ([FAIL, *UNTRIED], 100),
        ([State.TIMEOUT], 2),
        ([State.OOM], 2),
        ([State.INFRA], 2),
        ([State.CANCELLED], 2),
        ([NOT_RUN], 2),
        ([PASS, State.TIMEOUT], 2),
        ([PASS, State.OOM], 2),
        ([PASS, State.INFRA], 2),
        ([PASS, State.CANCELLED], 2),
        ([PASS, NOT_RUN], 2),
        ([EMPTY, NOT_RUN], 2),
        ([UNREACHABLE, State.INFRA], 2),
    ],
)
def test_the_exit_code_of_a_run(states: list[State], code: int) -> None:
    assert compute_run_exit_code(states) == code


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([WARN], 101),
        ([PASS, WARN], 101),
        ([PASS], 0),
        ([WARN, FAIL], 100),
        ([WARN, NOT_RUN], 2),
        ([EMPTY], 1),
        ([WARN, EMPTY, UNREACHABLE], 101),
    ],
)
def test_the_exit_code_with_werror(states: list[State], code: int) -> None:
    assert compute_run_exit_code(states, werror=True) == code


@pytest.mark.parametrize("states", [[], [PASS], [FAIL], [NOT_RUN], [WARN, FAIL, State.INFRA], list(State)])
def test_an_interrupted_run_says_130_whatever_it_saw(states: list[State]) -> None:
    assert (
        compute_run_exit_code(states, interrupted=True)
        == compute_run_exit_code(states, interrupted=True, werror=True)
        == 130
    )


def test_every_combination_of_states_gets_the_first_code_that_holds() -> None:
    for size in range(len(State) + 1):
        for states in combinations(State, size):
            for interrupted in (False, True):
                for werror in (False, True):
                    code = compute_run_exit_code(states, interrupted=interrupted, werror=werror)
                    assert code == expected(states, interrupted=interrupted, werror=werror), states


@steady
@given(states=some_states, werror=st.booleans())
def test_only_a_run_in_which_nothing_was_compiled_says_1(states: list[State], werror: bool) -> None:
    nothing_proven = set(states) <= {EMPTY, UNREACHABLE}
    assert (compute_run_exit_code(states, werror=werror) == 1) == nothing_proven


@steady
@given(states=some_states, werror=st.booleans(), untried=st.sampled_from(sorted(UNTRIED)))
def test_a_run_that_could_not_try_everything_never_says_0(
    states: list[State], werror: bool, untried: State
) -> None:
    assert compute_run_exit_code([*states, untried], werror=werror) in {2, 100}


@steady
@given(states=some_states, werror=st.booleans())
def test_a_failure_that_was_seen_is_final(states: list[State], werror: bool) -> None:
    assert compute_run_exit_code([*states, FAIL], werror=werror) == 100


@steady
@given(states=some_states, werror=st.booleans())
def test_neither_order_nor_number_of_cells_matters(states: list[State], werror: bool) -> None:
    again = sorted(states) * 2
    assert compute_run_exit_code(again, werror=werror) == compute_run_exit_code(states, werror=werror)
    assert find_worst_state(again) == find_worst_state(states)


# The state of a cell


def test_of_no_stages_nothing_was_run() -> None:
    assert find_worst_state([]) is NOT_RUN


@pytest.mark.parametrize("state", State)
def test_one_stage_speaks_for_itself(state: State) -> None:
    assert find_worst_state([state]) is state


@steady
@given(states=some_states)
def test_a_stage_that_failed_makes_the_cell_fail(states: list[State]) -> None:
    assert find_worst_state([*states, FAIL]) is FAIL


@steady
@given(states=some_states, untried=st.sampled_from(sorted(UNTRIED)))
def test_a_cell_with_a_stage_that_was_not_tried_never_passes(states: list[State], untried: State) -> None:
    assert find_worst_state([*states, untried]) in {FAIL, *UNTRIED}


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([PASS, WARN], WARN),
        ([WARN, PASS, PASS], WARN),
        ([PASS, EMPTY], PASS),
        ([EMPTY, WARN], WARN),
        ([EMPTY, EMPTY], EMPTY),
        ([PASS, NOT_RUN], NOT_RUN),
        ([FAIL, NOT_RUN], FAIL),
        ([State.TIMEOUT, NOT_RUN], State.TIMEOUT),
        ([State.OOM, NOT_RUN], State.OOM),
        ([PASS, State.INFRA, NOT_RUN], State.INFRA),
        ([State.CANCELLED, NOT_RUN], State.CANCELLED),
        ([UNREACHABLE, PASS], UNREACHABLE),
    ],
)
def test_a_cells_state_is_the_worst_of_its_stages(states: list[State], state: State) -> None:
    assert find_worst_state(states) is state


@steady
@given(one=some_states, other=some_states)
def test_the_worst_of_all_is_the_worst_of_the_worst(one: list[State], other: list[State]) -> None:
    if one and other:
        assert find_worst_state([*one, *other]) is find_worst_state(
            [find_worst_state(one), find_worst_state(other)]
        )


@steady
@given(states=some_states)
def test_the_worst_is_one_of_them(states: list[State]) -> None:
    assert find_worst_state(states) in (states or [NOT_RUN])
