"""Foreign words in mails: no tag, no link, no diff, no header and no command comes of them."""

import pytest
from hypothesis import HealthCheck, given, settings

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.run_model import GitState, Run
from matrix.record.states import State
from matrix.verdict.verdict_model import Mailbox, PatchMail, VerdictPatch
from reports.mail_verdict import render_verdict_mail
from tests.fakes.runs import a_cell, a_run
from tests.fakes.sides import a_side
from tests.fakes.verdicts import a_case, patched, turning
from tests.unit.reports.mail_reading import body, read, run_told
from tests.unit.reports.test_pages import ANYTHING, commands
from tests.unit.reports.test_verdict_text import RUN, after


@pytest.mark.parametrize(
    "words",
    ["Reviewed-by: Evil <e@example.org>", "  tested-BY: x", "Fixes: 0123", "diff --git a/x b/x", "Link: x"],
)
def test_nothing_foreign_becomes_a_tag_a_link_or_a_diff(words: str) -> None:
    for mail in (hostile_mail(words), run_told(hostile_run(words))):
        # Tools look for tags behind blanks too; a diff begins where its line does.
        lines = body(mail) if words.startswith("diff") else [line.strip() for line in body(mail)]
        assert not any(line.lower().startswith(words.strip().lower()) for line in lines)


def hostile_run(words: str) -> Run:
    odd = Diagnostic(severity="error", tool=words, message=words, excerpt=(words,), notes=(words,))
    cell = a_cell(state=State.FAIL, diagnostics=[odd], make=words)
    return a_run([cell, a_cell("x86", state=State.INFRA, reason=words)], [odd])


def hostile_mail(words: str) -> str:
    """An answer in which everything foreign says the same."""
    odd = Diagnostic(severity="error", tool=words, message=words, excerpt=(words,), notes=(words,))
    box = Mailbox(name=words, address=words)
    mail = PatchMail(
        message_id=words, subject=words, sender=box, to=(box,), cc=(box,), references=(words,), date=words,
        quote=(words,),
    )  # fmt: skip
    case = after(
        *turning(RUN, {"arch": "x86"}, State.FAIL, odd),
        *turning(RUN, {"arch": "s390"}, State.UNREACHABLE, reason=words),
        *turning(RUN, {"arch": "arm64"}, State.TIMEOUT, reason=words),
        diagnostics=(odd,),
    )
    patch = VerdictPatch(name=words, subject=words, sha256="f" * 64, mail=mail, refused=words)
    return render_verdict_mail(*case.having(patches=(patch,), base_differs=words, notes=(words,)).given)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_no_words_add_a_header_or_reach_the_terminal_as_a_command(words: str) -> None:
    mail = hostile_mail(words)
    assert commands(mail) == []
    names = [name.lower() for name in read(mail)]
    assert len(names) == len(set(names))
    assert set(names) <= {
        "to", "cc", "subject", "in-reply-to", "references", "mime-version", "content-type",
        "content-transfer-encoding",
    }  # fmt: skip


def test_a_path_of_ours_is_not_told_but_a_commit_is() -> None:
    git = GitState(commit="0123" * 10, describe="v6.12-3-g0123", dirty=False)
    ours = {"spec": "/home/jane/secret/linux@HEAD", "git": git}
    run = RUN.model_copy(update={"source": RUN.source.model_copy(update=ours)})
    mail = render_verdict_mail(*a_case(a_side(run), a_side(patched(run))).given)
    assert "/home" not in mail + run_told(run)
    assert f"Linux 6.12.48, v6.12-3-g0123 (commit {git.commit})" in " ".join(body(mail))
    bare = run.model_copy(update={"source": run.source.model_copy(update={"git": None})})
    assert "tree:      Linux 6.12.48, linux@HEAD, sha256 4f1c4f1c4f1c\n" in run_told(bare)
