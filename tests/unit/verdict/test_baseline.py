"""A run against a baseline and against the findings that are known."""

from datetime import date
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.record.run_model import Run
from matrix.record.states import UNTRIED_STATES, State
from matrix.verdict.baseline import (
    NO_KNOWN_ISSUES,
    KnownIssue,
    KnownIssues,
    Regression,
    compare_with_baseline,
    compute_excused_exit_code,
    load_known_issues,
    match_known_issues,
)
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run
from tests.fakes.sides import OBJECT, OTHER, a_side, alone, newer, turned, two

TODAY = date(2026, 1, 15)
FAILING = alone(State.FAIL, GCC_ERROR)
PASSING = alone(State.PASS)
WARNING_ = alone(State.WARN, WARNING)
KEY = (
    f"{OBJECT} vfio_file_iommu_group "
    "weak declaration of _ being applied to a already existing, static definition"
)


def row(*keys: str, expires: date = TODAY) -> KnownIssue:
    return KnownIssue(keys=keys, reason="queued", link="https://example.org/1", expires=expires)


def ledger(run: Run, *keys: str, expires: date = TODAY) -> KnownIssues:
    return match_known_issues(a_side(run).findings, {"stub": row(*keys, expires=expires)}, TODAY)


def judged(baseline: Run, this: Run, known: KnownIssues = NO_KNOWN_ISSUES, **options: bool) -> Regression:
    before, after = two(baseline, this)
    return compare_with_baseline(before, after, known, **options)


@pytest.mark.parametrize(
    ("baseline", "this", "code"),
    [
        (PASSING, PASSING, 0),
        (FAILING, FAILING, 0),
        (FAILING, PASSING, 0),
        (PASSING, WARNING_, 0),
        (PASSING, FAILING, 100),
        (FAILING, alone(State.FAIL, OTHER), 100),
        (PASSING, alone(State.EMPTY), 100),
        (FAILING, alone(State.UNREACHABLE), 100),
        (PASSING, newer(FAILING), 2),
        (alone(State.EMPTY), alone(State.EMPTY), 1),
        (PASSING, FAILING.model_copy(update={"interrupted": True}), 130),
        (PASSING.model_copy(update={"interrupted": True}), PASSING, 0),
    ],
)
def test_a_run_fails_only_on_what_is_new_or_lost(baseline: Run, this: Run, code: int) -> None:
    assert judged(baseline, this).exit_code == code


def test_what_fails_it_is_listed() -> None:
    before = a_run([a_cell(), a_cell("x86"), a_cell("s390")])
    broken = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    found = judged(
        before, turned(before, broken, a_cell("x86", state=State.UNREACHABLE), diagnostics=[GCC_ERROR])
    )
    assert [one.after.ids for one in found.new_findings if one.after] == [("F1",)]
    assert [cell.id for cell in found.broken_cells] == [broken.id]
    assert [cell.arch for cell in found.lost_cells] == ["x86"]
    assert (found.excused_findings, found.undecided_cells, found.removed_count, found.added_count) == (
        (),
        (),
        0,
        0,
    )


def test_what_is_lost_can_be_allowed() -> None:
    before = a_run([a_cell(), a_cell("x86")])
    after = turned(before, a_cell("x86", state=State.UNREACHABLE))
    assert judged(before, after, allow_lost=True).exit_code == 0


def test_new_warnings_fail_it_with_werror_only() -> None:
    assert judged(PASSING, WARNING_, werror=True).exit_code == 101
    assert judged(WARNING_, WARNING_, werror=True).exit_code == 0


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_what_this_run_could_not_try_is_undecided(state: State) -> None:
    found = judged(PASSING, alone(state))
    assert (found.exit_code, len(found.undecided_cells)) == (2, 1)
    both = a_run([a_cell(), a_cell("x86", state=state)])
    assert judged(PASSING, both).exit_code == 2


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_what_the_baseline_could_not_try_is_undecided_only_if_it_may_be_new_or_lost(state: State) -> None:
    assert judged(alone(state), PASSING).exit_code == 0
    assert judged(alone(state), WARNING_).exit_code == 0
    assert judged(alone(state), WARNING_, werror=True).exit_code == 2
    assert judged(alone(state), FAILING).exit_code == 2
    lost, x86 = a_cell(state=State.EMPTY), a_cell("x86")
    assert judged(a_run([a_cell(state=state), x86]), a_run([lost, x86])).exit_code == 2


def test_nor_does_a_warning_that_it_has_elsewhere() -> None:
    cells = [a_cell(a, state=State.WARN, diagnostics=[WARNING]) for a in ("powerpc", "x86")]
    this = a_run(cells, [WARNING])
    baseline = turned(this, a_cell("x86", state=State.INFRA))
    assert judged(baseline, this).exit_code == 0
    assert judged(baseline, this, werror=True).exit_code == 2


def test_an_error_that_a_failure_of_the_baseline_may_have_hidden_is_undecided() -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    ref = cell.diagnostics[0].model_copy(update={"key": OTHER.key, "object": "kernel/fork.o"})
    this = a_run([cell.model_copy(update={"diagnostics": (*cell.diagnostics, ref)})], [GCC_ERROR, OTHER])
    found = judged(FAILING, this)
    assert (found.exit_code, [c.id for c in found.undecided_cells]) == (2, [cell.id])


def test_of_another_profile_the_common_cells_count_and_the_others_are_said() -> None:
    baseline = a_run([a_cell(), a_cell("x86"), a_cell("arm64")])
    found = judged(baseline, a_run([a_cell(), a_cell("s390")]))
    assert (found.exit_code, found.removed_count, found.added_count) == (0, 2, 1)


def test_without_a_common_cell_it_is_refused() -> None:
    with pytest.raises(RequestError, match="arch is powerpc there, x86 here"):
        judged(PASSING, a_run([a_cell("x86")]))


def test_nobody_vouches_for_an_error_in_a_cell_that_the_baseline_has_not() -> None:
    added = a_cell("x86", state=State.FAIL, diagnostics=[GCC_ERROR])
    this = a_run([a_cell("s390"), added], [GCC_ERROR])
    found = judged(a_run([a_cell("s390")]), this)
    assert (found.exit_code, len(found.new_findings)) == (100, 1)
    assert judged(a_run([a_cell("s390")]), this, ledger(this, KEY)).exit_code == 0
    elsewhere = a_run([a_cell("s390"), a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])], [GCC_ERROR])
    assert judged(elsewhere, this).exit_code == 0


def test_a_known_finding_does_not_fail_it_and_is_told() -> None:
    found = judged(PASSING, FAILING, ledger(FAILING, KEY))
    assert (found.exit_code, found.new_findings, found.broken_cells) == (0, (), ())
    assert [one.after.ids for one in found.excused_findings if one.after] == [("F1",)]


def test_but_what_fails_beside_it_does() -> None:
    this = alone(State.FAIL, GCC_ERROR, OTHER)
    found = judged(PASSING, this, ledger(this, KEY))
    assert (
        found.exit_code,
        len(found.broken_cells),
        len(found.new_findings),
        len(found.excused_findings),
    ) == (100, 1, 1, 1)


def test_a_known_finding_decides_a_cell_that_the_baseline_could_not_try() -> None:
    assert judged(alone(State.OOM), FAILING, ledger(FAILING, KEY)).exit_code == 0


def test_what_is_lost_is_lost_whatever_is_known() -> None:
    assert judged(FAILING, alone(State.UNREACHABLE), ledger(FAILING, KEY)).exit_code == 100


def test_a_row_protects_up_to_the_day_that_it_expires() -> None:
    assert ledger(FAILING, KEY).excused_by == {"F1": "stub"}
    late = ledger(FAILING, KEY, expires=date(2026, 1, 14))
    assert late == KnownIssues({}, {"stub": ("F1",)}, ())
    assert judged(PASSING, FAILING, late).exit_code == 100


def test_a_row_that_is_no_longer_seen_can_go_expired_or_not() -> None:
    for expires in (TODAY, date(2020, 1, 1)):
        found = ledger(FAILING, "kernel/fork.o - gone", expires=expires)
        assert found == KnownIssues({}, {}, ("stub",))


def test_the_first_row_that_is_not_expired_excuses_a_finding() -> None:
    key = a_side(FAILING).findings.findings[0].keys
    known = {"old": row(key[0], expires=date(2025, 1, 1)), "one": row(key[0]), "two": row(key[1])}
    assert match_known_issues(a_side(FAILING).findings, known, TODAY).excused_by == {"F1": "one"}


def test_without_a_baseline_known_findings_do_not_fail_a_run_either() -> None:
    def code(run: Run, *keys: str, werror: bool = False) -> int:
        return compute_excused_exit_code(a_side(run), ledger(run, *keys), werror=werror)

    warned = a_side(WARNING_).findings.findings[0].keys[0]
    assert code(FAILING, "none of these") == 100
    assert code(FAILING, KEY) == 0
    assert code(alone(State.FAIL, GCC_ERROR, OTHER), KEY) == 100
    assert code(alone(State.FAIL, GCC_ERROR, WARNING), KEY, werror=True) == 101
    assert code(WARNING_, warned, werror=True) == 0
    assert code(alone(State.INFRA), KEY) == 2
    assert code(alone(State.FAIL), KEY) == 100
    assert code(alone(State.FAIL, WARNING), warned) == 100


GOOD = """
[stub]
keys = ["a.o f weak"]
reason = "the fix is queued"
link = "https://example.org/1"
expires = 2026-03-01
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "known.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_file_of_known_findings_is_rows_by_name(tmp_path: Path) -> None:
    rows = load_known_issues(written(tmp_path, GOOD))
    assert rows["stub"] == KnownIssue(
        keys=("a.o f weak",),
        reason="the fix is queued",
        link="https://example.org/1",
        expires=date(2026, 3, 1),
    )
    assert load_known_issues(written(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("expires", "expire", r"stub: expires: this key is needed"),
        ("link =", "url = 1\nlink =", r"stub: url: unknown key"),
        ('"https://example.org/1"', '"see the list"', r"stub: link: expected a link \(https://…\), got"),
        ('"the fix is queued"', '" "', r"stub: reason: is empty"),
        ("2026-03-01", '"2026-03-01"', r"stub: expires: .*date.*got '2026-03-01'"),
        ("2026-03-01", "2026-03-01T10:00:00Z", r"stub: expires: "),
        ('["a.o f weak"]', "[]", r"stub: keys: "),
        ('["a.o f weak"]', '"a.o f weak"', r"stub: keys: expected a list"),
        ('["a.o f weak"]', '["a", "a"]', r"stub: keys: names 'a' twice"),
        ("[stub]", "stub = 1\n[other]", r"stub: .*got 1"),
        ("[stub]", "[stub", r"not valid TOML"),
    ],
)
def test_a_wrong_row_is_refused_by_file_row_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(RequestError, match=rf"known\.toml: {told}"):
        load_known_issues(path)


def test_a_key_belongs_to_one_row(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + GOOD.replace("[stub]", "[again]"))
    with pytest.raises(RequestError, match=r"again: keys: 'a.o f weak' is stub's already"):
        load_known_issues(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        load_known_issues(tmp_path / "none.toml")
