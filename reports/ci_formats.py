"""The formats that a CI consumes, by name."""

from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.verdict.verdict_model import Verdict
from reports.cell_judgement import CellJudgement, judge_run_cells, judge_verdict_cells
from reports.cell_table import render_cell_table, render_change_table
from reports.github_annotations import render_run_annotations, render_verdict_annotations
from reports.github_job import (
    OUTPUT_VARIABLE,
    SUMMARY_VARIABLE,
    render_run_outputs,
    render_run_summary,
    render_verdict_outputs,
    render_verdict_summary,
)
from reports.junit import render_junit, render_verdict_junit
from reports.kcidb import render_run_kcidb, render_verdict_kcidb
from reports.kcidb_objects import NO_ORIGIN
from reports.patchwork import render_patchwork_check
from reports.report_format import ReportFormat, ReportOptions
from reports.sarif import find_cut_notes, render_sarif


def _judge_run(stored: StoredRun, options: ReportOptions) -> dict[str, CellJudgement]:
    return judge_run_cells(stored, options.regression, options.known_issues)


def _judge_verdict(verdict: Verdict, after: StoredRun, options: ReportOptions) -> dict[str, CellJudgement]:
    return judge_verdict_cells(verdict, after, allow_lost=options.allow_lost, werror=options.werror)


def _render_junit(stored: StoredRun, options: ReportOptions) -> str:
    return render_junit(stored, _judge_run(stored, options), options.compute_run_code(stored))


def _render_verdict_junit(verdict: Verdict, _: StoredRun, after: StoredRun, options: ReportOptions) -> str:
    code = options.compute_verdict_code(verdict)
    return render_verdict_junit(verdict, after, _judge_verdict(verdict, after, options), code)


def _render_github(stored: StoredRun, options: ReportOptions) -> str:
    code, known = options.compute_run_code(stored), options.known_issues
    return render_run_annotations(stored, options.regression, _judge_run(stored, options), code, known)


def _render_verdict_github(
    verdict: Verdict, before: StoredRun, after: StoredRun, options: ReportOptions
) -> str:
    code = options.compute_verdict_code(verdict)
    return render_verdict_annotations(verdict, before, after, _judge_verdict(verdict, after, options), code)


def _render_run_outputs(stored: StoredRun, options: ReportOptions) -> str:
    new = options.regression.new_findings if options.regression else None
    code, judged = options.compute_run_code(stored), _judge_run(stored, options)
    return render_run_outputs(stored, code, new, judged, options.known_issues)


def _render_verdict_outputs(verdict: Verdict, _: StoredRun, after: StoredRun, options: ReportOptions) -> str:
    code = options.compute_verdict_code(verdict)
    return render_verdict_outputs(verdict, after, code, _judge_verdict(verdict, after, options))


def _render_sarif(stored: StoredRun, options: ReportOptions) -> str:
    regression, before = options.regression, options.baseline
    verdict = regression.verdict if regression else None
    return render_sarif(stored, options.known_issues, _judge_run(stored, options), verdict, before)


def _render_verdict_sarif(
    verdict: Verdict, before: StoredRun, after: StoredRun, options: ReportOptions
) -> str:
    judged = _judge_verdict(verdict, after, options)
    return render_sarif(after, options.known_issues, judged, verdict, before)


def _refuse_run(_: StoredRun, __: ReportOptions) -> str:
    raise RequestError(*_NO_PATCH)


_NO_PATCH = (
    "a check of Patchwork is on a patch, and this is a run",
    "./inv patch makes a verdict on one, ./inv compare of two runs",
)


CI_FORMATS: dict[str, ReportFormat] = {
    "junit": ReportFormat(
        audience="a CI that shows tests: GitLab, Jenkins, and others",
        render_run=_render_junit,
        render_verdict=_render_verdict_junit,
    ),
    "github": ReportFormat(
        audience="a workflow of GitHub's: annotations, the job's summary, outputs of the step",
        render_run=_render_github,
        render_verdict=_render_verdict_github,
        has_terminal=True,
        run_additions={
            SUMMARY_VARIABLE: lambda stored, options: render_run_summary(stored, options.regression),
            OUTPUT_VARIABLE: _render_run_outputs,
        },
        verdict_additions={
            SUMMARY_VARIABLE: lambda verdict, before, after, _: render_verdict_summary(
                verdict, before, after
            ),
            OUTPUT_VARIABLE: _render_verdict_outputs,
        },
    ),
    "sarif": ReportFormat(
        audience="code scanning of a forge, an editor, and other viewers of SARIF 2.1.0",
        render_run=_render_sarif,
        render_verdict=_render_verdict_sarif,
        find_notes=find_cut_notes,
    ),
    "patchwork": ReportFormat(
        audience="Patchwork: the check of a patch, as JSON for its API",
        render_run=_refuse_run,
        render_verdict=lambda verdict, before, after, options: render_patchwork_check(
            verdict, before, after, options.compute_verdict_code(verdict), options.url
        ),
        run_refusal=_NO_PATCH,
    ),
    "csv": ReportFormat(
        audience="a spreadsheet, or pandas: a row for each cell",
        render_run=lambda stored, _: render_cell_table(stored),
        render_verdict=lambda verdict, before, after, _: render_change_table(verdict, before, after),
    ),
    "kcidb": ReportFormat(
        audience="KernelCI's database, which `submit` sends it to",
        render_run=lambda stored, _: render_run_kcidb(stored, NO_ORIGIN),
        render_verdict=lambda verdict, before, after, _: render_verdict_kcidb(
            verdict, before, after, NO_ORIGIN
        ),
    ),
}
