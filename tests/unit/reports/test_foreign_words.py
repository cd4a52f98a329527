"""Words out of logs, patches, paths, records and profiles come out dead in every format."""

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.events import CellFinished, OutputLine, ProgressNote, RunStarted, StageStarted
from matrix.record.run_model import Cell, Compiler, DiagnosticRef, GitState, PatchRecord, Run, StageRecord
from matrix.record.states import State
from matrix.verdict.baseline import NO_KNOWN_ISSUES, compare_with_baseline
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import Mailbox, PatchMail, Verdict, VerdictPatch
from reports import DEFAULT_FORMAT, FORMATS, NO_OPTIONS
from reports.explain import show_explanation
from reports.markdown_text import escape_markdown, escape_table_cell
from reports.progress import display_progress
from reports.task_output import show_regression, show_reproducer, show_shell_banner
from reports.terminal import show_plan, show_run_summary, show_verdict
from tests.fakes.foreign_words import LIVE
from tests.fakes.runs import a_cell, a_run
from tests.fakes.sides import a_side

PLAIN = "plain words"
FOREIGN = st.text(st.characters(codec="utf-8", exclude_categories=()), max_size=30)
MIXTURES = st.lists(st.one_of(st.sampled_from(LIVE), FOREIGN), min_size=1, max_size=3).map(" ".join)


def foreign_run(words: str, state: State = State.FAIL, name: str = "run") -> Run:
    """A run in which every field that anybody else than kmatrix can fill holds the words."""
    odd = Diagnostic(
        severity="error", tool=words, file=words, line=3, message=words, flag=words, excerpt=(words, words),
        notes=(words,), included_from=(words,), symbols=(words,), function=words,
    )  # fmt: skip
    warned = odd.model_copy(update={"severity": "warning"})
    rows = [
        foreign_cell(words, "1", state, odd),
        foreign_cell(words, "2", State.WARN, warned),
        foreign_cell(words, "3", State.FAIL),
        *(foreign_cell(words, str(n), other) for n, other in enumerate((State.INFRA, State.UNREACHABLE), 4)),
    ]
    run = a_run(rows, [odd, warned])
    chain = run.toolchains[rows[0].toolchain].model_copy(
        update={"image": words, "compilers": {rows[0].arch: Compiler(version=words, binutils=words)}}
    )
    source = run.source.model_copy(
        update={
            "spec": words,
            "version": words,
            "package": words,
            "git": GitState(commit=words, describe=words, dirty=True),
            "patches": (PatchRecord(name=words, sha256="0" * 64),),
        }
    )
    host = run.host.model_copy(update={"system": words, "engine": words, "isolation": words})
    update = {
        "id": f"{name} {words}",
        "command": words,
        "source": source,
        "host": host,
        "toolchains": {rows[0].toolchain: chain},
        "tool": run.tool.model_copy(update={"version": words, "commit": words}),
    }
    return run.model_copy(update=update)


def foreign_cell(words: str, number: str, state: State, *said: Diagnostic) -> Cell:
    cell = a_cell(symbols={}, state=state, diagnostics=said)
    stages = [
        StageRecord(name=stage.name, state=stage.state, command="make -k x", exit=2) for stage in cell.stages
    ]
    refs = tuple(DiagnosticRef(key=one.key, object=words, stage="focus") for one in said)
    update: dict[str, Any] = {
        "id": f"{number} {words}",
        "arch": words,
        "toolchain": words,
        "base": words,
        "request": {"KVM": "y", "NR": number, "STR": words},
        "reason": words,
        "resolves_to": words if state is State.UNREACHABLE else None,
        "evidence_from": words,
        "stages": tuple(stages),
        "diagnostics": refs,
        "log": words,
        "config_sha256": "0" * 64,
        "make": "",
        "fragment": {"STR": words},
    }
    return cell.model_copy(update=update)


def keep_run(run: Run) -> StoredRun:
    """The run in a directory of its name, as far as one can be called so."""
    return replace(a_side(run), directory=Path("/nowhere", run.id.replace("\0", "")))


def foreign_verdict(words: str) -> tuple[Verdict, StoredRun, StoredRun]:
    """A verdict on two such runs, on a patch of which every word is foreign."""
    before = keep_run(foreign_run(words, State.PASS, "before"))
    after = keep_run(foreign_run(words, State.FAIL, "after"))
    box = Mailbox(name=words, address=words)
    mail = PatchMail(
        message_id=words, subject=words, sender=box, to=(box,), cc=(box,), references=(words,), date=words,
        quote=(words, words),
    )  # fmt: skip
    patch = VerdictPatch(name=words, subject=words, sha256="f" * 64, mail=mail, refused=words)
    known = {"patches": (patch,), "base_commit": words, "base_differs": words, "notes": (words,)}
    return compare_runs(before, after).model_copy(update=known), before, after


@cache
def render_both(name: str, words: str) -> tuple[str, str]:
    """A run's report and a verdict's; every test of a format looks at the same."""
    row = FORMATS[name]
    return (
        "" if row.run_refusal else row.render_run(keep_run(foreign_run(words)), NO_OPTIONS),
        row.render_verdict(*foreign_verdict(words), NO_OPTIONS),
    )


# --- Markdown: parsed, then looked at as GitHub and GitLab look at what comes of it

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TRACKER = re.compile(
    r"@\w|[#!%~$]\w|&\d|[%~]\"|\$|:[\w+-]+:|://|\b(?i:www\.|mailto:|xmpp:|tel:|GH-\d)|\[\[|\b[A-Z][A-Z0-9]+-\d"
    r"|[-+][\]}]|\*iteration|\^alert|\[vulnerability:",
)
BLOCKS = (
    "heading_open",
    "table_open",
    "tr_open",
    "td_open",
    "th_open",
    "fence",
    "code_block",
    "hr",
    "html_block",
    "blockquote_open",
    "ordered_list_open",
    "bullet_list_open",
    "list_item_open",
)
INLINES = ("link_open", "image", "em_open", "s_open", "html_inline", "softbreak", "hardbreak")


def parse(text: str) -> list[Token]:
    return PARSER.parse(text)


def list_inlines(text: str) -> list[Token]:
    return [child for token in parse(text) for child in token.children or ()]


def count_structure(text: str) -> Counter[str]:
    """How often each kind of block, and of what is no text, comes up."""
    tokens = [*(token.type for token in parse(text)), *(token.type for token in list_inlines(text))]
    return Counter(kind for kind in tokens if kind in (*BLOCKS, *INLINES))


def assert_dead_markdown(text: str, plain: str) -> None:
    assert count_structure(text) == count_structure(plain)
    for token in list_inlines(text):
        assert token.type != "html_inline" or token.content == "<br>"
        found = TRACKER.search(token.content) if token.type == "text" else None
        assert found is None, (found, token.content)


# A fence and a list need words; what is only blanks has none to be misread.
def has_words(words: str) -> bool:
    return bool(words.strip())


@pytest.mark.parametrize("words", LIVE)
def test_no_word_is_obeyed_in_markdown(words: str) -> None:
    for text, plain in zip(render_both("markdown", words), render_both("markdown", PLAIN), strict=True):
        assert_dead_markdown(text, plain)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MIXTURES.filter(has_words))
def test_nor_is_any_mixture_of_them(words: str) -> None:
    for text, plain in zip(render_both("markdown", words), render_both("markdown", PLAIN), strict=True):
        assert_dead_markdown(text, plain)


@pytest.mark.parametrize("words", [words for words in LIVE if words.isprintable()])
def test_markdown_shows_the_words_as_they_are(words: str) -> None:
    """What is dead is still there: a reader sees what the log had."""
    assert show_markdown(f"# {escape_markdown(words)}\n").split() == words.split()


@pytest.mark.parametrize("words", [words for words in LIVE if words.isprintable()])
def test_and_so_does_a_table(words: str) -> None:
    """Only a backslash right before a bar is lost, in code: parsers do not agree on what it means there."""
    seen = show_markdown(f"| |\n|---|\n| {escape_table_cell(words)} |\n").split()
    assert seen in (words.split(), re.sub(r"\\+\|", "|", words).split())


def show_markdown(text: str) -> str:
    """The text that comes of it, without markup."""
    return "".join(token.content for token in list_inlines(text) if token.type in {"text", "code_inline"})


# --- HTML


class Tags(HTMLParser):
    """Tags with the names of their attributes, and the addresses that they lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def assert_dead_page(text: str, plain: str) -> None:
    page = Tags(text)
    assert page.tags == Tags(plain).tags
    assert all(link.startswith(("./", "#")) for link in page.links)


@pytest.mark.parametrize("words", LIVE)
def test_no_word_is_obeyed_in_html(words: str) -> None:
    for text, plain in zip(render_both("html", words), render_both("html", PLAIN), strict=True):
        assert_dead_page(text, plain)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MIXTURES.filter(has_words))
def test_nor_is_any_mixture_in_html(words: str) -> None:
    for text, plain in zip(render_both("html", words), render_both("html", PLAIN), strict=True):
        assert_dead_page(text, plain)


# --- mail

OBEYED_LINE = re.compile(
    r"\s*(?:[\w-]+-by|cc|to|from|subject|date|fixes|closes|links?|base-commit|prerequisite-patch-id|pw-bot|bcc"
    r"|mime-version|content-type|message-id|x-[\w-]+):"
    r"|>*From |diff --git|--- |---$|\+\+\+ |@@ |Index: |\*\*\* |={3}|--\s?$|begin [0-7]{3} |\.$|~!"
    r"|\s*#(?:syz|regzbot)",
    re.IGNORECASE,
)
SCISSORS = re.compile(r"-\s*(?:8<|>8)|(?:8<|>8)\s*-")
HEADERS = {"to", "cc", "subject", "in-reply-to", "references", "mime-version", "content-type"}


def assert_dead_mail(text: str) -> None:
    head, _, body = text.partition("\n\n")
    names = [line.partition(":")[0].lower() for line in head.splitlines() if not line.startswith((" ", "\t"))]
    assert set(names) <= HEADERS | {"content-transfer-encoding"}
    assert len(names) == len(set(names))
    for line in body.splitlines():
        assert not OBEYED_LINE.match(line), line
        assert not SCISSORS.search(line), line
        assert len(line.encode()) <= 998


@pytest.mark.parametrize("words", [*LIVE, "x" * 5000, "\U0001f427" * 3000])
def test_no_word_is_obeyed_in_a_mail(words: str) -> None:
    for text in render_both("mail", words):
        assert_dead_mail(text)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MIXTURES)
def test_nor_is_any_mixture_in_a_mail(words: str) -> None:
    for text in render_both("mail", words):
        assert_dead_mail(text)


# --- terminals, and every other format in which one may be looked at

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != DEFAULT_FORMAT])
def test_no_word_is_obeyed_by_a_terminal(name: str) -> None:
    for words in LIVE:
        for text in render_both(name, words):
            assert CONTROL.search(text) is None, (words, CONTROL.search(text))


COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def show_everything(words: str) -> str:
    """What tasks print of such runs in a terminal, in colour."""
    console = Console(file=StringIO(), force_terminal=True, width=100, _environ={"TERM": "xterm-256color"})
    verdict, before, after = foreign_verdict(words)
    show_run_summary(after, console)
    show_verdict(verdict, before, after, console)
    show_plan(after.run, console)
    show_explanation(after, after.findings.findings, console)
    show_regression(compare_with_baseline(before, after), NO_KNOWN_ISSUES, console)
    cell = after.run.cells[0]
    show_shell_banner(cell, words, "again", console)
    show_reproducer(Path("/", words.replace("\0", "")), console)
    with display_progress(console) as emit:
        for event in (
            ProgressNote(words),
            RunStarted(words, Path(words), 3, 1),
            StageStarted(words, words, words),
            OutputLine(words),
            CellFinished(cell, words),
            CellFinished(after.run.cells[3], words),
        ):
            emit(event)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("words", [words for words in LIVE if CONTROL.search(words) or "[" in words])
def test_a_terminal_gets_colours_and_nothing_else_to_obey(words: str) -> None:
    shown = COLOUR.sub("", show_everything(words))
    assert CONTROL.search(shown) is None
    assert "[bold]x" in shown or words != "[bold]x[/bold]"


@pytest.mark.parametrize("name", [name for name, row in FORMATS.items() if not row.run_refusal])
def test_a_run_of_strangers_can_be_told_from_any_directory(name: str, tmp_path: Path) -> None:
    """A directory may be called anything as well."""
    directory = tmp_path / "@all <b> `x` \u202e #1"
    directory.mkdir()
    stored = StoredRun(foreign_run(PLAIN), directory)
    text = FORMATS[name].render_run(stored, NO_OPTIONS)
    assert "<b>" not in text or name in {"terminal", "text", "mail"}
    assert CONTROL.search(text) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("kind", [0, 1], ids=["run", "verdict"])
def test_git_takes_a_mail_for_one_message_without_a_patch(kind: int, tmp_path: Path) -> None:
    """Real git: it splits no mail in two, cuts none, and finds no patch and no header in a body."""
    obeyed = [words for words in LIVE if OBEYED_LINE.match(words) or SCISSORS.search(words) or "\n" in words]
    assert len(obeyed) > 40
    for number, words in enumerate(obeyed):
        mail = render_both("mail", words)[kind]
        place = tmp_path / str(number)
        place.mkdir()
        (place / "mbox").write_text(f"From x Thu Jan  1 00:00:00 1970\nFrom: Jane <jane@example.org>\n{mail}")
        run_git(place, "mailsplit", "-o.", "mbox")
        assert sorted(path.name for path in place.iterdir()) == ["0001", "mbox"], words
        info = run_git(place, "mailinfo", "--scissors", "msg", "patch", stdin=place / "0001")
        assert "Author: Jane\nEmail: jane@example.org\n" in info, words
        assert (place / "patch").read_text() == "", words
        assert (place / "msg").read_text().split() == mail.partition("\n\n")[2].split(), words


def run_git(place: Path, *words: str, stdin: Path | None = None) -> str:
    with (stdin or place / "mbox").open("rb") as file:
        done = subprocess.run(["git", *words], cwd=place, stdin=file, capture_output=True, check=True)
    return done.stdout.decode()
