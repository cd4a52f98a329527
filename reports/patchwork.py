"""A verdict as a check of Patchwork's API: the body of a POST to ``/api/patches/ID/checks/``."""

import json
import re
from collections.abc import Mapping

from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.verdict.verdict_model import Verdict
from reports.changes import RunChanges
from reports.formatting import shorten_line
from reports.limits import PATCHWORK_DESCRIPTION, PATCHWORK_URL
from reports.verdict_text import format_verdict_headline

_STATES = {ExitCode.PASSED: "success", ExitCode.FAILED: "fail", ExitCode.INTERRUPTED: "pending"}
"""All else is a warning: something could not be tried, nothing was proven, or there are new warnings and
``--werror``. Of a run that was interrupted only a failure is final."""
_NO_SLUG = re.compile(r"[^A-Za-z0-9_]+")


def render_patchwork_check(
    verdict: Verdict, before: StoredRun, after: StoredRun, code: ExitCode, url: str
) -> str:
    """One JSON object. ``url`` is where the report can be read, and is left out where it is empty."""
    headline = format_verdict_headline(RunChanges.from_verdict(verdict, before, after))
    profile = _NO_SLUG.sub("-", str(after.run.profile.get("profile", ""))).strip("-")
    is_pending = after.run.interrupted and code is not ExitCode.FAILED
    check = {
        # Patchwork shows the last check of a context: each profile has its own.
        "context": f"kmatrix-{profile}"[:PATCHWORK_DESCRIPTION].rstrip("-"),
        "state": "pending" if is_pending else _STATES.get(code, "warning"),
        "description": shorten_line(headline, PATCHWORK_DESCRIPTION),
    }
    return json.dumps(check | ({"target_url": url} if url else {})) + "\n"


def find_report_url(given: str, environment: Mapping[str, str]) -> str:
    """The address that was given, or that of the CI's job; empty where none is known, or where the CI's is
    none that Patchwork takes. RequestError for one that was given and is no address of a page, or too
    long."""
    if not given:
        found = environment.get("CI_JOB_URL", "") or _find_github_url(environment)
        return found if _is_page(found) and len(found) <= PATCHWORK_URL else ""
    if not _is_page(given):
        raise RequestError(f"--report-url: {given!r} is no address of a page", "https://HOST/PATH")
    if len(given) > PATCHWORK_URL:
        raise RequestError(
            f"--report-url has {len(given)} characters, and may have {PATCHWORK_URL}",
            "name a shorter address",
        )
    return given


def _is_page(url: str) -> bool:
    return re.fullmatch(r"https?://[!-~]+", url) is not None


def _find_github_url(environment: Mapping[str, str]) -> str:
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (environment.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""
