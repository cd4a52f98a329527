"""What a format of reports is, and what a report may have besides its run or verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.verdict.baseline import (
    NO_KNOWN_ISSUES,
    KnownIssues,
    Regression,
    compute_excused_exit_code,
)
from matrix.verdict.gates import compute_verdict_exit_code
from matrix.verdict.verdict_model import Mailbox, Verdict


@dataclass(frozen=True)
class ReportOptions:
    """What a report may have besides.

    ``regression`` is what a run changed since its ``baseline``: its page shows that first, and its mail marks
    it. ``werror``: new warnings of a verdict count. ``tester`` is whose tag ends a verdict's mail.
    ``exit_code`` is the command's, where it has one; ``url`` is where the report will be read;
    ``single_file``: whole logs in the page of a run.
    """

    regression: Regression | None = None
    baseline: StoredRun | None = None
    known_issues: KnownIssues = NO_KNOWN_ISSUES
    tester: Mailbox | None = None
    allow_lost: bool = False
    werror: bool = False
    exit_code: ExitCode | None = None
    url: str = ""
    single_file: bool = False

    def compute_run_code(self, stored: StoredRun) -> ExitCode:
        """The exit code that a run has or would have."""
        if self.exit_code is not None:
            return self.exit_code
        if self.regression is not None:
            return self.regression.exit_code
        return compute_excused_exit_code(stored, self.known_issues, werror=stored.run.asks_for_werror)

    def compute_verdict_code(self, verdict: Verdict) -> ExitCode:
        """The same of a verdict."""
        if self.exit_code is not None:
            return self.exit_code
        is_incomplete = any(patch.refused for patch in verdict.patches)
        return compute_verdict_exit_code(
            verdict, allow_lost=self.allow_lost, werror=self.werror, incomplete=is_incomplete
        )


NO_OPTIONS = ReportOptions()
RunRenderer = Callable[[StoredRun, ReportOptions], str]
VerdictRenderer = Callable[[Verdict, StoredRun, StoredRun, ReportOptions], str]


def _find_no_notes(_: str) -> Sequence[str]:
    return ()


@dataclass(frozen=True, kw_only=True)
class ReportFormat:
    """How a run and a verdict are rendered, and for whom.

    ``run_file`` and ``verdict_file`` are written always: a run's lies in its directory, a verdict's in that
    of its after-run. Without one the format is only made when it is asked for. ``is_prose``: it tells a
    person all of a run, and so all of that kind do the same.

    ``run_refusal``: why a run cannot be shown, and what to do. ``has_terminal``: on stdout the terminal's is
    shown before it. ``find_notes``: what its text says of what it does not show, to be told on stderr, too.
    ``run_additions`` and ``verdict_additions``: texts that are appended to the files that variables of the
    environment name.
    """

    audience: str
    render_run: RunRenderer
    render_verdict: VerdictRenderer
    run_file: str | None = None
    verdict_file: str | None = None
    is_prose: bool = False
    run_refusal: tuple[str, str] | None = None
    has_terminal: bool = False
    find_notes: Callable[[str], Sequence[str]] = _find_no_notes
    run_additions: Mapping[str, RunRenderer] = field(default_factory=dict)
    verdict_additions: Mapping[str, VerdictRenderer] = field(default_factory=dict)


def create_plain_format(
    audience: str,
    render_run: Callable[[StoredRun], str],
    render_verdict: Callable[[Verdict, StoredRun, StoredRun], str],
    run_file: str | None = None,
    verdict_file: str | None = None,
) -> ReportFormat:
    """A format for people that has nothing besides, whatever the options."""
    return ReportFormat(
        audience=audience,
        render_run=lambda stored, _: render_run(stored),
        render_verdict=lambda verdict, before, after, _: render_verdict(verdict, before, after),
        run_file=run_file,
        verdict_file=verdict_file,
        is_prose=True,
    )
