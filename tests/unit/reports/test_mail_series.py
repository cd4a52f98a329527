"""The answer to a series, and to each of its patches."""

import pytest

from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs, extract_patch_step
from matrix.verdict.verdict_model import VerdictPatch
from reports.mail_verdict import render_step_mails, render_verdict_mail
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR
from tests.fakes.sides import OTHER, a_side
from tests.fakes.verdicts import MAIL, Case, a_case, patched, turning
from tests.unit.reports.mail_reading import TAG, body, read
from tests.unit.reports.test_verdict_text import ON_POWERPC, RUN


def a_series() -> tuple[Case, list[Run]]:
    """Two patches: the first breaks s390, the second mends that and the story."""
    one = patched(
        RUN,
        *turning(RUN, {"arch": "s390", "KVM": "y", "VFIO": "y"}, State.FAIL, OTHER),
        *turning(RUN, {**ON_POWERPC, "toolchain": "gcc-14"}, State.FAIL, GCC_ERROR),
        *turning(RUN, {**ON_POWERPC, "toolchain": "clang-19"}, State.FAIL, CLANG_ERROR),
        diagnostics=(OTHER,),
        id="one",
    )
    two = patched(RUN, id="two")
    sides = [a_side(run) for run in (RUN, one, two)]
    mails = [
        MAIL.model_copy(update={"message_id": f"{i}@x.org", "subject": f"[PATCH {i}/2] p{i}"}) for i in (1, 2)
    ]
    patches = tuple(
        VerdictPatch(name=f"{i}.patch", subject=f"p{i}", sha256="e" * 64, mail=mail)
        for i, mail in enumerate(mails, 1)
    )
    steps = [
        extract_patch_step(patch.name, patch.subject, compare_runs(here, there))
        for patch, here, there in zip(patches, sides[:-1], sides[1:], strict=True)
    ]
    return a_case(sides[0], sides[2], steps=steps, patches=patches), [RUN, one, two]


def test_a_series_is_answered_at_its_cover_letter_or_its_first_patch() -> None:
    case, _ = a_series()
    cover = MAIL.model_copy(
        update={"message_id": "0@x.org", "subject": "[PATCH 0/2] both", "quote": ("Hello",)}
    )
    mail = render_verdict_mail(*case.having(cover=cover).given)
    assert (read(mail)["Subject"], read(mail)["In-Reply-To"]) == ("Re: [PATCH 0/2] both", "<0@x.org>")
    assert "> Hello" in mail
    assert read(render_verdict_mail(*case.given))["In-Reply-To"] == "<1@x.org>"


def test_a_series_that_breaks_on_the_way_says_where() -> None:
    case, _ = a_series()
    told = " ".join(body(render_verdict_mail(*case.given)))
    assert "By itself, 1.patch (p1): 4 cells broken, 1 finding new." in told
    assert "2.patch" not in told


def test_each_patch_has_an_answer_of_its_own() -> None:
    case, runs = a_series()
    sides = [a_side(run) for run in runs]
    first, second = render_step_mails(case.verdict, sides)
    assert [read(mail)["In-Reply-To"] for mail in (first, second)] == ["<1@x.org>", "<2@x.org>"]
    assert "This breaks 4 cells (1 new error)." in first
    assert "Built on top of" not in first
    assert "This fixes 2 errors and breaks nothing" in second
    assert "Built on top of the patches before it." in second
    assert TAG.findall(first + second) == []


def test_answers_to_each_take_a_run_for_each() -> None:
    case, runs = a_series()
    with pytest.raises(ValueError, match="zip"):
        render_step_mails(case.verdict, [a_side(run) for run in runs[:2]])


def test_a_patch_that_does_not_apply_is_named_with_what_was_built_until_there() -> None:
    third = VerdictPatch(name="3.patch", subject="third", sha256="e" * 64, refused="hunk 1 of Makefile fails")
    case, _ = a_series()
    mail = render_verdict_mail(*case.having(patches=(*case.verdict.patches, third)).given)
    assert "Patch 3 of 3 (third) does not apply, so this is on what stands before it: hunk 1 of" in " ".join(
        body(mail)
    )
