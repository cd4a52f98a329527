"""HTML and Markdown: complete, well-formed, and safe against what a log may hold."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import State
from reports import NO_OPTIONS, PROSE_FORMATS, find_format, write_run_reports
from reports.markdown_text import escape_markdown, format_code_span, format_fence
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story

VOID = {"meta", "br", "link", "hr", "input"}
UNSEEN = {"script", "style"}
NOWHERE = Path("/nowhere")
# Lone surrogates cannot be in a record: JSON has none.
ANYTHING = st.text(st.characters(codec="utf-8", exclude_categories=()))


class Page(HTMLParser):
    """What a browser without JavaScript shows: tags in order, ids, links, text; unbalanced tags fail the
    test."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scopes: list[str | None] = []
        self.words = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        self.tags.append(tag)
        self.open += [] if tag in VOID else [tag]
        self.ids += [fields["id"] or ""] if "id" in fields else []
        self.links += [fields["href"] or ""] if "href" in fields else []
        self.scopes += [fields.get("scope")] if tag == "th" else []
        assert not any(name.startswith("on") or name in {"src", "style"} for name in fields)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data if not UNSEEN & {*self.open} else ""


def told_as(run: Run, directory: Path, name: str) -> str:
    return find_format(name).render_run(StoredRun(run, directory), NO_OPTIONS)


def page(run: Run, directory: Path = NOWHERE) -> Page:
    return Page(told_as(run, directory, "html"))


def mixed() -> Run:
    """A cell of every state, and failures, warnings, faults told at length."""
    diagnostics = {State.FAIL: [GCC_ERROR], State.WARN: [WARNING]}
    cells = [
        a_cell(symbols={"A": str(i)}, state=state, diagnostics=diagnostics.get(state, []))
        for i, state in enumerate(State)
    ]
    return a_run(cells, [GCC_ERROR, WARNING])


def runs() -> list[Run]:
    return [a_run(), a_run([a_cell()]), a_run([a_cell(symbols={})]), the_story(), mixed()]


@pytest.mark.parametrize("run", runs())
def test_the_page_is_well_formed_and_every_cell_can_be_linked_to(run: Run) -> None:
    seen = page(run)
    assert len(seen.ids) == len(set(seen.ids))
    assert {cell.id for cell in run.cells} <= set(seen.ids)


@pytest.mark.parametrize("run", runs())
def test_every_link_leads_to_a_cell_or_into_the_run(run: Run) -> None:
    seen = page(run)
    for link in seen.links:
        assert link.startswith("./") or unquote(link.removeprefix("#")) in seen.ids


def many_findings(count: int) -> Run:
    """As many errors in as many cells, each in all of them."""
    said = [
        GCC_ERROR.model_copy(
            update={"message": f"'name{number}' is wrong", "symbols": (f"name{number}",), "line": number}
        )
        for number in range(count)
    ]
    numbers = map(str, range(count))
    cells = [a_cell(symbols={"NR_CPUS": n}, state=State.FAIL, diagnostics=said) for n in numbers]
    return a_run(cells, said)


def test_of_very_many_findings_and_cells_each_has_its_place_and_the_first_have_room() -> None:
    run = many_findings(150)
    page = Page(told_as(run, NOWHERE, "html"))
    assert len(page.ids) == len(set(page.ids))
    assert {f"F{number}" for number in range(1, 151)} <= set(page.ids)
    assert {cell.id for cell in run.cells} <= set(page.ids)
    assert {unquote(link[1:]) for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.tags.count("article") == 20
    assert "and 100 more cells" in page.words
    assert "the first 20 here" in page.words


@pytest.mark.parametrize("name", ["html", "markdown", "text"])
def test_a_report_grows_as_its_run_and_no_faster(name: str) -> None:
    sizes = [len(told_as(many_findings(count), NOWHERE, name)) for count in (100, 200)]
    assert sizes[1] < 2.5 * sizes[0]


def test_the_grid_links_every_cell() -> None:
    run = the_story()
    linked = {unquote(link[1:]) for link in page(run).links if link.startswith("#")}
    assert linked == {cell.id for cell in run.cells}


def test_table_headings_say_what_they_head() -> None:
    assert set(page(the_story()).scopes) == {"col", "colgroup", "row"}


def test_nothing_is_loaded_and_only_the_page_s_own_script_runs() -> None:
    seen = page(mixed())
    assert not {"img", "link", "iframe", "object"} & set(seen.tags)
    assert seen.tags.count("script") == 2  # the data, and what works on it; neither can have a src here
    assert "http" not in told_as(mixed(), NOWHERE, "html")


def test_a_failing_cell_shows_its_message_its_command_and_the_end_of_its_log(tmp_path: Path) -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    log = tmp_path / str(cell.log)
    log.parent.mkdir(parents=True)
    log.write_bytes(b"early\n" * 100 + b"last <b>words</b> \xff\n")
    words = page(a_run([cell], [GCC_ERROR]), tmp_path).words
    assert "weak declaration of 'vfio_file_iommu_group'" in words
    assert "make O=/tmp/kmatrix ARCH=powerpc" in words
    assert "last <b>words</b> \ufffd" in words
    assert words.count("early") == 39


def test_files_are_linked_relative_and_with_their_odd_characters() -> None:
    cell = a_cell(symbols={"A": "a b%"})
    assert cell.id.endswith("A=a%20b%25")
    assert "./cells/powerpc/gcc-14/defconfig/A=a%2520b%2525/build.log" in page(a_run([cell])).links


def test_a_log_that_is_a_script_is_a_harmless_link() -> None:
    links = page(a_run([a_cell(log="javascript:alert(1)")])).links
    assert "./javascript%3Aalert%281%29" in links


def test_warnings_that_many_cells_share_are_told_once() -> None:
    cells = [a_cell(symbols={"A": str(i)}, state=State.WARN, diagnostics=[WARNING]) for i in range(9)]
    # Once as the finding's title, once as its message, once for the cells that share it.
    assert page(a_run(cells, [WARNING])).words.count("unused variable 'x'") == 3


def test_a_cell_with_very_many_messages_points_to_its_log() -> None:
    many = [GCC_ERROR.model_copy(update={"line": line}) for line in range(100)]
    run = a_run([a_cell(state=State.FAIL, diagnostics=many)], many)
    assert "70 more messages, in the log" in page(run).words


def hostile(words: str) -> Run:
    odd = Diagnostic(
        severity="error", tool=words, file=words, message=words, excerpt=(words,), notes=(words,)
    )
    cell = a_cell(state=State.FAIL, diagnostics=[odd], reason=words)
    return a_run([cell], [odd])


def commands(told: str) -> list[str]:
    """The characters that a terminal or a browser would obey instead of showing."""
    return [char for char in told if (char < " " and char not in "\n\t") or char in "\x7f\x9b\u202e"]


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_control_characters_reach_no_report(name: str) -> None:
    told = told_as(hostile("a\x00b\x1b[31mc\x9bd\u202ee\rf\n\ng"), NOWHERE, name)
    assert commands(told) == []
    assert "a\ufffdbc\ufffdd\ufffde\ufffdf  g" in told


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_no_words_change_the_structure_of_the_page(words: str) -> None:
    told = told_as(hostile(words), NOWHERE, "html")
    assert commands(told) == []
    assert Page(told).tags == page(hostile("plain")).tags


@pytest.mark.parametrize(
    "words", ["<script>alert(1)</script>", "</pre><h1>", "{{ run }}", '"><img src=x>', "&lt;"]
)
def test_markup_in_a_message_is_only_text(words: str) -> None:
    seen = page(hostile(words))
    assert seen.tags == page(hostile("plain")).tags
    assert words in seen.words


def test_markdown_has_a_row_for_every_configuration_and_a_column_for_every_lane() -> None:
    lines = told_as(the_story(), NOWHERE, "markdown").splitlines()
    header = next(line for line in lines if line.startswith("| KVM"))
    row = next(line for line in lines if line.startswith("| y | n | n |"))
    assert header.count("|") == row.count("|") == 3 + 8 + 1
    assert row == "| y | n | n | pass | pass | **fail** | **fail** | pass | pass | pass | pass |"
    assert sum(line.startswith(("| n |", "| m |", "| y |")) for line in lines) == 18


def test_markdown_tells_failures_and_what_is_unreachable() -> None:
    told = told_as(the_story(), NOWHERE, "markdown")
    assert "include/linux/vfio.h:294:35: error: weak declaration" in told
    assert "`powerpc/clang-19/defconfig/KVM=y,MODULES=n,VFIO=n`" in told
    assert "46 of 144 requests unreachable: 18 × KVM=m" in told


@pytest.mark.parametrize("run", runs())
def test_every_table_of_the_markdown_is_rectangular(run: Run) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", told_as(run, NOWHERE, "markdown"), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@settings(max_examples=40, deadline=None)
@given(ANYTHING)
def test_no_words_end_a_fence_or_a_code_span(words: str) -> None:
    told = told_as(hostile(words), NOWHERE, "markdown")
    assert commands(told) == []
    mark = format_fence([words])
    assert f"\n{mark}\n" in told
    span = format_code_span(words)
    ticks = len(span) - len(span.lstrip("`"))
    assert [len(run) for run in re.findall("`+", span)].count(ticks) == (2 if span else 0)


@pytest.mark.parametrize(
    ("words", "escaped"),
    [
        ("a | b", r"a \| b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("*x* _y_ KVM_VFIO", r"\*x\* \_y\_ KVM_VFIO"),
        ("[a](b)", r"\[a\](b)"),
        ("# x", r"\# x"),
        ("- x", r"\- x"),
        ("`x`", r"\`x\`"),
    ],
)
def test_markdown_text_means_only_itself(words: str, escaped: str) -> None:
    assert escape_markdown(words) == escaped


def test_code_spans_hold_backticks() -> None:
    assert format_code_span("a``b") == "``` a``b ```"


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"no report format 'htlm' .*'html'") as caught:
        told_as(a_run(), NOWHERE, "htlm")
    assert "markdown" in caught.value.hint


def test_all_formats_are_written_into_the_run(tmp_path: Path) -> None:
    files = write_run_reports(StoredRun(the_story(), tmp_path))
    assert sorted(file.name for file in files) == ["report.html", "report.md", "report.txt"]
    assert all(file.read_text("utf-8") for file in files)


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_every_format_tells_a_run_of_nothing(name: str) -> None:
    assert "nothing was proven" in told_as(a_run(), NOWHERE, name)
