"""How much of each kind the reports show. The rest is counted, and stands in the run's JSON files."""

from dataclasses import dataclass

LINE_LENGTH = 500
"""Characters of a message, a line of code or a reason; commands and paths stay whole."""
EXCERPT_LINES = 8
"""Lines of code below a compiler's message."""
NOTES = 4
"""Notes below a compiler's message."""
ALIKE_NEIGHBOURS = 4
"""Neighbours on one axis that prove the same, each with a row of its own."""
CONSEQUENCES = 3
"""Errors that follow from a finding, below it."""


@dataclass(frozen=True)
class FindingLimits:
    """What a format shows of findings. ``message_lines`` are those of one compiler's message."""

    findings: int
    cells: int
    message_lines: int = 1 + EXCERPT_LINES + NOTES


TERMINAL = FindingLimits(findings=20, cells=6, message_lines=6)
EXPLANATION = FindingLimits(findings=1, cells=6)
MARKDOWN = FindingLimits(findings=40, cells=20, message_lines=6)
# More would make the page slow to load: the others have a row of a table each.
HTML = FindingLimits(findings=100, cells=50)
VERDICT_PAGE = FindingLimits(findings=100, cells=20, message_lines=6)

LOG_DIAGNOSTICS = 200
"""Errors, and warnings, of a build log that stand in its text."""
LOG_OBJECTS = 3
"""Objects or targets that one diagnostic is shown with."""

UNREACHABLE_REASONS = 6
REPEATED_CELLS = 4
"""Cells that needed more than one attempt."""
ORIGIN_RUNS = 2
"""Runs that remembered cells come from."""
WARNING_FLAGS = 8
SHARDS = 16
"""Shards of a merged run, each with its time."""
WORKERS = 8
"""Workers that built for a run, and as many that were given nothing more."""
REGRESSIONS = 10
"""Findings, and cells, that are new or lost since a baseline."""

FAILED_TESTS = 100
"""Tests of kmatrix's own that failed in one part."""

HTML_CARDS = 20
"""Cells of one outcome that have an article of their own in the page of a run."""
HTML_ALL_CARDS = 1000
"""The same of all outcomes together, where each has one at least."""
HTML_CELL_MESSAGES = 30
HTML_WARNED_GROUPS = 100
HTML_LOG_LINES = 40
HTML_EXCERPTS = 1000
"""Cells of which the page of a run has a part of the log; of the others it has a link to the whole."""
HTML_EXCERPT_BYTES = 3 * 2**20
"""All of those parts together."""
HTML_FORMER_SHARE = 4
"""Of the run before, beside which a page stands, it has a fourth of that."""
HTML_CONFIG_DIFFERENCES = 200
"""Cells that the page compares with the nearest cell that passed."""
HTML_DIFFERING_SYMBOLS = 60
"""Symbols of one such comparison."""

HTML_INDEXED_DIFFERENCES = 1000
"""Lines in which a ``.config`` may differ from the first of its lane and still be searched in the page."""
HTML_INDEX_BYTES = 2**20
"""Of the lines of ``.config`` files that the page searches, with the cells that have them."""

HISTORY_CELLS = 200
"""Cells of a history, and the times of those that moved most."""
HISTORY_TIMES = 10

JUNIT_MESSAGES = 5
"""Messages of a cell."""
JUNIT_DETAIL_BYTES = 10 * 2**20
"""All messages together: GitLab takes files of 30 MB."""

SARIF_RESULTS = 4_999
SARIF_BYTES = 9 * 2**20
"""GitHub shows 5,000 results, and takes 10 MB."""
SARIF_PLACES = 20
"""Places, and keys, of a result."""

PATCHWORK_DESCRIPTION = 254
PATCHWORK_URL = 200
"""Characters that Patchwork has room for."""

ANNOTATIONS = 10
"""Of each kind, of one step: GitHub shows no more."""
ADDED_BYTES = 2**20
"""Of a file that GitHub's runner reads after a step; it takes no more."""
STEP_SUMMARY_BYTES = 2**20 - 16 * 2**10
"""Of one step: GitHub takes 1 MiB, or else nothing."""
STEP_SUMMARIES = (
    FindingLimits(findings=20, cells=5, message_lines=3),
    FindingLimits(findings=10, cells=2, message_lines=1),
    FindingLimits(findings=1, cells=1, message_lines=1),
)
"""What a summary shows that would be too long; tried in turn."""
STEP_OUTPUT_FINDINGS = 20

CELL_GROUPS = 20
"""Groups of cells that changed alike, in a terminal."""
SYMBOL_CHANGES = 12
SYMBOL_FLIPS = 6
"""Symbols that changed in the very same cells."""
SETTLED_SYMBOLS = 3
"""Symbols that explain why an object is not built any more."""
DIFFERENCES = 10
"""Differences between two runs besides their sources."""
FINDING_IDS = 3
FOLLOWED_SYMBOLS = 4
"""Symbols that conf changed by itself in a user's .config."""

KCIDB_EXCERPT_LENGTH = 16384
"""Characters of a build's log, as KCIDB's schema has it."""
KCIDB_EXCERPTS = 1000
"""Builds of a submission that have a part of their log, those that failed first."""
KCIDB_INCIDENTS = 50_000
"""Incidents of a submission: its server takes 512 MiB."""

MAIL_LOG_LINES = 20
MAIL_REFERENCES = 20
"""Ids of a thread beside its first: that one identifies the thread, the last ones the place in it."""
MAIL_SYMBOL_CHANGES = 3
MAIL_DIFFERENCES = 2
MAIL_BODY_LINES = 60
"""Lines of a mail's body before any log: it stays below."""


@dataclass(frozen=True)
class MailLimits:
    """How much of each kind a mail has; smaller ones are tried until it is short enough.

    ``excerpt`` are the lines of one compiler's message, ``prose`` those of one paragraph; ``toolchains`` is
    for whatever there is one of for each toolchain.
    """

    quote: int
    findings: int
    excerpt: int
    cells: int
    toolchains: int
    prose: int


MAIL_LIMITS = (
    MailLimits(quote=8, findings=4, excerpt=5, cells=8, toolchains=8, prose=6),
    MailLimits(quote=8, findings=3, excerpt=1, cells=4, toolchains=8, prose=5),
    MailLimits(quote=4, findings=2, excerpt=1, cells=2, toolchains=4, prose=3),
    MailLimits(quote=2, findings=1, excerpt=1, cells=1, toolchains=2, prose=2),
)
