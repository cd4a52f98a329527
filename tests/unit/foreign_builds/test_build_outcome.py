"""What came of a build: never a pass that nothing shows, never an absence that nothing proves."""

import pytest

from matrix.foreign_builds.build_facts import BuildFacts
from matrix.foreign_builds.build_outcome import BuildOutcome, judge_build
from matrix.foreign_builds.foreign_log import read_foreign_log
from matrix.record.states import State
from tests.fakes.foreign_builds import FAILED, MADE, ROBOT_MAIL, WARNING

PASSED, REFUSED, SAID_NOTHING = BuildFacts(succeeded=True), BuildFacts(succeeded=False), BuildFacts()
OBJECTS = {"drivers/vfio/group.o", "drivers/vfio/vfio_main.o"}
INTERRUPTED = MADE.splitlines()[1] + "\n  CC      fs/a.o\nmake[1]: *** [Makefile:7: fs/a.o] Interrupt\n"


def judge(text: str, facts: BuildFacts = SAID_NOTHING) -> BuildOutcome:
    return judge_build(read_foreign_log(text, None), facts)


@pytest.mark.parametrize(
    ("text", "facts", "state"),
    [
        (MADE, SAID_NOTHING, State.PASS),
        (MADE + WARNING, SAID_NOTHING, State.WARN),
        (
            MADE.replace("  CC      drivers/vfio/v", f"{WARNING}  CC      drivers/vfio/v"),
            SAID_NOTHING,
            State.WARN,
        ),
        (FAILED, SAID_NOTHING, State.FAIL),
        (FAILED, PASSED, State.FAIL),
        ("", PASSED, State.PASS),
        (WARNING, PASSED, State.WARN),
        ("", REFUSED, State.FAIL),
        ("", SAID_NOTHING, State.UNKNOWN),
        (WARNING, SAID_NOTHING, State.UNKNOWN),
        ("  CC      fs/a.o\n", SAID_NOTHING, State.UNKNOWN),
        # make came back, and nothing shows that it compiled anything.
        ("make[1]: Entering directory '/b'\nmake[1]: Leaving directory '/b'\n", SAID_NOTHING, State.UNKNOWN),
        ("", BuildFacts(succeeded=True, compiled=False), State.EMPTY),
        (ROBOT_MAIL, SAID_NOTHING, State.FAIL),
        (INTERRUPTED, SAID_NOTHING, State.UNKNOWN),
        (INTERRUPTED, REFUSED, State.UNKNOWN),
        (INTERRUPTED + "fs/a.c:7:1: error: unknown type name 'x'\n", SAID_NOTHING, State.FAIL),
    ],
)
def test_a_build_is_what_is_shown_of_it(text: str, facts: BuildFacts, state: State) -> None:
    outcome = judge(text, facts)
    assert outcome.state is state
    assert (outcome.reason is not None) == (state in {State.UNKNOWN, State.EMPTY})


def test_a_failure_has_its_cause_and_what_was_made_without_it() -> None:
    outcome = judge(FAILED)
    assert [(item.object, item.diagnostic.line) for item in outcome.occurrences] == [
        ("drivers/vfio/group.o", 7)
    ]
    assert outcome.objects == {"drivers/vfio/vfio_main.o"}
    assert judge(MADE).objects == OBJECTS


def test_a_failure_without_a_known_error_still_says_something() -> None:
    outcome = judge("  HOSTCC  scripts/x\nit went wrong\n", REFUSED)
    assert outcome.state is State.FAIL
    assert [item.diagnostic.severity for item in outcome.occurrences] == ["error"]


def test_a_log_that_breaks_off_proves_no_object() -> None:
    cut = FAILED.replace("make: *** [Makefile:224: __sub-make] Error 2\n", "")
    assert judge(cut).state is State.FAIL
    assert judge(cut).objects == frozenset()
    assert judge("  CC      fs/a.o\n").objects == frozenset()


def test_what_comes_of_a_signal_is_no_error_of_the_tree() -> None:
    assert judge(INTERRUPTED).occurrences == ()


def test_files_and_objects_are_named_as_the_tree_has_them() -> None:
    text = FAILED.replace("drivers/vfio/group.c:", "/home/u/linux/drivers/vfio/group.c:")
    assert [item.diagnostic.file for item in judge(text).occurrences] == ["drivers/vfio/group.c"]
    inside = FAILED.replace("/home/u/out", "/home/u/linux/out").replace(
        "drivers/vfio/group.c:", "../drivers/vfio/group.c:"
    )
    assert [item.diagnostic.file for item in judge(inside).occurrences] == ["drivers/vfio/group.c"]
