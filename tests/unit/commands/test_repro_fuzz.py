"""Hundreds of hostile logs and records as reproducers: each is parsed, run, and must touch no tripwire."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from matrix.commands import repro
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.log_parser import parse_diagnostics
from matrix.errors import RequestError
from matrix.findings.derive import derive_findings
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import replace_controls
from matrix.record.run_model import (
    BaseRecord,
    Compiler,
    Run,
    SourceRecord,
    StageRecord,
    Tool,
    ToolchainRecord,
    Verified,
)
from matrix.record.states import State
from matrix.shell_words import format_command, format_variable
from tests.fakes.hostile import NASTY_WORDS, collect_examples, hostile_texts
from tests.fakes.runs import a_cell, a_run
from tests.fakes.scripts import script_of
from tests.fakes.tripwire import Range, read_calls

THERE = 1
PREFIX = "ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-"
TARGETS = ("arch/powerpc/kvm/", "drivers/vfio/")


def run_of_log(line: bytes) -> Run | None:
    """A run whose only cell failed with this line in its log; None where that shows nothing."""
    found = parse_diagnostics([line.decode("utf-8", "replace")])
    if not found or not found[0].diagnostic.message.strip():
        return None
    diagnostic, made = found[0]
    run = run_of_diagnostic(diagnostic)
    if not diagnostic.is_silent_failure:
        return run
    # Of such a one only the target that make names is in the log.
    refs = (run.cells[0].diagnostics[0].model_copy(update={"object": made}),)
    return run.model_copy(update={"cells": (run.cells[0].model_copy(update={"diagnostics": refs}),)})


def run_of_diagnostic(diagnostic: Diagnostic, **fields: Any) -> Run:
    cell = a_cell(state=State.FAIL, diagnostics=[diagnostic], verified=(), **fields)
    base = BaseRecord(targets={"powerpc": "ppc64le_defconfig"})
    return a_run([cell], [diagnostic], bases={"defconfig": base})


def script_of_run(run: Run, place: Path) -> str:
    stored = StoredRun(run, place)
    return script_of(stored, run.cells[0], derive_findings(run, {}).findings[0])


def as_line(text: str) -> bytes:
    """A text as a tool would print it: a line of bytes."""
    return text.encode("utf-8", "replace").replace(b"\n", b" ")


FORMS: tuple[Callable[[bytes], bytes], ...] = (
    lambda text: b"/src/virt/kvm/vfio.c:12:3: error: " + text,
    lambda text: b"/src/" + text.replace(b":", b"").replace(b"/", b"_") + b"/a.c:12:3: error: bad " + text,
    lambda text: b"ld: vfio.c:(.text+0x20): undefined reference to `" + text + b"'",
    lambda text: b'ERROR: modpost: "' + text + b'" [drivers/vfio/vfio.ko] undefined!',
    lambda text: b"/src/virt/kvm/vfio.c:12:3: error: '" + text + b"' undeclared [-Werror=" + text + b"]",
    lambda text: b"make[2]: *** [/src/Makefile:2: " + text + b"/a.o] Error 1",
)


def test_hundreds_of_hostile_logs(tmp_path: Path) -> None:
    """Each message is found again in the log that it came from: the script has the log's own words."""
    lines = [form(as_line(word)) for form, word in zip(cycle(FORMS), NASTY_WORDS, strict=False)]
    texts = collect_examples(st.tuples(st.sampled_from(FORMS), hostile_texts()), 275)
    lines += [form(as_line(text)) for form, text in texts]
    tried = Range(tmp_path / "range")
    for number, line in enumerate(dict.fromkeys(lines)):
        run = run_of_log(line)
        if run is not None:
            tried.add_script(script_of_run(run, tmp_path), line, "", *["--host"] * (number % 2))
    tried.run_scripts()
    assert len(tried.trees) > 350
    assert tried.find_tripwires() == []
    assert tried.find_unparsable() == []
    answers = {tree: int((tree / "code").read_text()) for tree in tried.trees}
    assert [(tree / "says").read_bytes() for tree, code in answers.items() if code != THERE] == []


@st.composite
def hostile_records(draw: st.DrawFn) -> Run:
    """Records of a stranger's, with a hostile word in every field that takes text."""
    # JSON has no half characters: a record with one is refused when it is read.
    text = hostile_texts().map(lambda word: word.encode("utf-8", "replace").decode())
    diagnostic = Diagnostic(severity="error", tool="gcc", file=draw(text), line=1, message=f"no {draw(text)}")
    values = {"X": draw(text), "KCFLAGS": draw(text), draw(text): draw(text)}
    symbol = Verified(symbol=draw(text), want=draw(text), got=draw(text))
    arch, command = draw(text), format_command("make", "-k", "A=b", draw(text), draw(text))
    cell = a_cell(
        state=State.FAIL,
        diagnostics=[diagnostic],
        verified=(symbol,),
        fragment={"LOCALVERSION": draw(text)},
        make=" ".join(format_variable(name, value) for name, value in values.items()),
        stages=(StageRecord(name="focus", state=State.FAIL, command=command),),
        reason=draw(text),
        id=draw(text),
    )
    refs = (cell.diagnostics[0].model_copy(update={"object": f"{draw(text)}/{draw(text)}.o"}),)
    chain = ToolchainRecord(
        image="kmatrix/gcc-14:1",
        image_id="sha256:b",
        root="kmatrix/root:1",
        recipe=(f"FROM kmatrix/root:1\n{draw(text)}", f"FROM kmatrix/base:7\nRUN {draw(text)}\n"),
        compilers={arch: Compiler(version=draw(text), binutils=draw(text))},
    )
    return a_run(
        [cell.model_copy(update={"arch": arch, "diagnostics": refs})],
        [diagnostic],
        id=draw(text),
        command=format_command(draw(text)),
        tool=Tool(version=draw(text)),
        source=SourceRecord(spec=draw(text), version=draw(text), digest=draw(text)),
        bases={"defconfig": BaseRecord(targets={arch: draw(text)} if draw(st.booleans()) else {})},
        toolchains={"gcc-14": chain},
    )


def list_expected_words(run: Run) -> list[str]:
    """The make variables, as they have to reach make."""
    return [replace_controls(f"{name}={value}") for name, value in run.cells[0].make_variables.items()]


def add_record(tried: Range, run: Run, place: Path, *words: str) -> None:
    config = place / "configs" / str(run.cells[0].config_sha256)
    config.parent.mkdir(exist_ok=True)
    config.write_text('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="$(touch tripwire)"\n')
    (symbol,) = run.cells[0].verified
    resolved = f"CONFIG_{replace_controls(symbol.symbol)}={replace_controls(symbol.got)}\n"
    try:
        script = script_of_run(run, place)
    except RequestError:
        return
    tried.add_script(script, b"x", resolved, *words)


def test_hostile_records(tmp_path: Path) -> None:
    """Each word of a record reaches make as the word that it was, and nothing else."""
    runs = collect_examples(hostile_records(), 150)
    tried = Range(tmp_path / "range")
    expected = {}
    for run in runs:
        count = len(tried.trees)
        add_record(tried, run, tmp_path)
        if len(tried.trees) > count:
            expected[tried.trees[-1]] = list_expected_words(run)
    tried.run_scripts()
    assert len(tried.trees) > 100
    assert tried.find_tripwires() == []
    assert tried.find_unparsable() == []
    asked = {tree: read_calls(tree / "make.words") for tree in expected}
    assert [tree for tree, calls in asked.items() if not calls] == [], "make was not run"
    assert sum(len(calls) > 1 for calls in asked.values()) > 80, "scripts that came to their build"
    calls = [(words, call) for tree, words in expected.items() for call in asked[tree]]
    assert [call for words, call in calls if call[3 : 3 + len(words)] != words] == []


def test_what_may_run_more_than_a_build_is_kept_to_a_container(tmp_path: Path) -> None:
    tried = Range(tmp_path / "range")
    for run in collect_examples(hostile_records(), 20):
        add_record(tried, run, tmp_path, "--host")
    tried.run_scripts()
    assert {(tree / "code").read_text() for tree in tried.trees} == {"200\n"}
    assert not list(tmp_path.rglob("make.words")), "make was not run"
    assert all("so only in a container" in (tree / "said").read_text() for tree in tried.trees)


def test_the_tripwire_is_touched_where_words_are_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro, "quote_word", lambda text: text)
    repro._load_script_template.cache_clear()
    try:
        tried = Range(tmp_path / "range")
        for word in NASTY_WORDS[:40]:
            run = run_of_log(FORMS[0](as_line(word)))
            if run:
                tried.add_script(script_of_run(run, tmp_path), b"x", "")
    finally:
        repro._load_script_template.cache_clear()
    tried.run_scripts()
    assert tried.find_tripwires()
    assert tried.find_unparsable()
