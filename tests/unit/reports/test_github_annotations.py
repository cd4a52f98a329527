"""Annotations of GitHub's workflows: their form, their escapes, and that no word of a log is a command."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.diagnostics.diagnostic import BuildLog, Diagnostic, FailedTarget, Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.foreign_text import clean_text, replace_controls
from reports import github_annotations
from reports.workflow_commands import AnnotationLimit
from tests.fakes.foreign_words import LIVE

SMUGGLED = (
    "::add-mask::secret",
    "\n::add-mask::secret",
    "\r\n::stop-commands::x",
    "\r::set-output name=x::y",
    "%0A::error::x",
    "%250A::error::x",
    "##[add-path]/tmp",
    "x::error file=b.c::y",
    "a,line=99",
    "a,title=b::c",
    "title=x",
    "a:b,c%d",
    "\u2028::error::x",
    "\x85::error::x",
    "\x0b::error::x",
    "\x1b[0m::error::x",
)
ERROR = Diagnostic(severity="error", tool="gcc", file="a.c", line=3, column=5, message="m", flag="unused")


def a_log(diagnostic: Diagnostic, *objects: str) -> BuildLog:
    occurrences = tuple(Occurrence(diagnostic, name) for name in objects or ("a.o",))
    failed = (FailedTarget("a.o", "a.o", occurrences[0]),)
    return BuildLog(occurrences, failed if diagnostic.severity == "error" else (), frozenset())


def render_annotations(log: BuildLog) -> list[str]:
    return list(github_annotations.render_annotations(log, AnnotationLimit()))


def decode(text: str) -> str:
    """What GitHub's runner makes of a message."""
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def obey(line: str) -> tuple[str, dict[str, str], str]:
    """A line as GitHub's runner reads it: the command, its properties, its message."""
    trimmed = line.lstrip()
    assert trimmed.startswith("::")
    head, _, data = trimmed[2:].partition("::")
    command, _, rest = head.partition(" ")
    pairs = (pair.split("=", 1) for pair in rest.split(","))
    properties = {
        name.strip(): decode(value.replace("%3A", ":").replace("%2C", ",")) for name, value in pairs
    }
    return command, properties, decode(data)


def test_an_annotation_has_its_place_its_title_and_its_message() -> None:
    (line,) = render_annotations(a_log(ERROR))
    assert line == "::error file=a.c,line=3,col=5,title=gcc -Wunused::m%0Afailed: a.o"


def test_a_warning_is_one_and_what_came_up_in_many_objects_is_one() -> None:
    warning = ERROR.model_copy(update={"severity": "warning"})
    (line,) = render_annotations(a_log(warning, "a.o", "b.o", "c.o"))
    assert line == "::warning file=a.c,line=3,col=5,title=gcc -Wunused::m%0Ain 3 objects"


def test_without_a_file_no_line_is_named() -> None:
    (line,) = render_annotations(a_log(ERROR.model_copy(update={"file": None})))
    assert line.startswith("::error title=gcc -Wunused::")


def test_causes_come_first_and_a_failure_without_one_is_no_less_an_error() -> None:
    text = (
        "  CC      w.o\nw.c:1:1: warning: w\n"
        "  CC      b.o\nb.c:1:1: error: other\n"
        "  CC      a.o\na.c:1:1: error: cause\nmake[3]: *** [scripts/Makefile.build:229: a.o] Error 1\n"
        "  GEN     k/data\nmake[1]: *** [Makefile:3: k/data] Error 1\n"
    )
    told = [obey(line) for line in render_annotations(parse_build_log(text.splitlines()))]
    assert [(command, message.split("\n")[0]) for command, _, message in told] == [
        ("error", "cause"),
        ("error", "other"),
        ("warning", "w"),
        ("error", "Error 1: nothing that its command printed says why"),
    ]
    assert told[-1][1] == {"title": "k/data failed"}


@pytest.mark.parametrize("words", [*SMUGGLED, *LIVE])
def test_no_word_of_a_log_is_a_command_or_another_property(words: str) -> None:
    fields = {
        "message": words,
        "file": words,
        "tool": words,
        "flag": words,
        "excerpt": (words,),
        "notes": (words,),
    }
    (line,) = render_annotations(a_log(ERROR.model_copy(update=fields)))
    assert len(line.splitlines()) == 1
    command, properties, message = obey(line)
    assert (command, list(properties)) == ("error", ["file", "line", "col", "title"])
    assert (properties["line"], properties["col"]) == ("3", "5")
    assert properties["file"] == replace_controls(words)
    assert properties["title"] == f"{replace_controls(words)} {replace_controls(words)}"
    assert message.split("\n")[0] == clean_text(words)
    assert re.fullmatch(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]*", message)


@given(st.text())
def test_what_is_escaped_is_read_back_as_it_was(words: str) -> None:
    printable = clean_text(words)
    (line,) = render_annotations(a_log(ERROR.model_copy(update={"message": printable})))
    assert obey(line)[2].split("\n")[0] == printable


def test_a_target_without_a_cause_smuggles_nothing() -> None:
    target = FailedTarget("a,title=x::y\n::error::z", None, None)
    (line,) = render_annotations(BuildLog((), (target,), frozenset()))
    assert obey(line) == ("error", {"title": "a,title=x::y ::error::z failed"}, "no cause is known")
