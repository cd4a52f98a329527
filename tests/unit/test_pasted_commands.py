"""What is printed to be typed, pasted into a shell: each word is the word that was meant."""

import html
import re
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from matrix.engine.images import ensure_named_image, read_first_lines
from matrix.errors import KmatrixError, RequestError
from matrix.findings.make_steps import RunLocation, format_make_line, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import replace_controls
from matrix.record.run_model import BaseRecord, Cell, Run, StageRecord
from matrix.record.states import State
from matrix.shell_words import format_command, format_variable, quote_recorded_command
from matrix.source.kernel_tree import refuse_build_leftovers
from matrix.source.mbox.series import read_series
from reports import FORMATS, show_run
from reports.explain import show_explanation
from reports.task_output import show_reproducer
from reports.terminal import show_run_summary
from tests.fakes.engine import FakeEngine
from tests.fakes.hostile import NASTY_WORDS, TRIPWIRE, collect_examples, hostile_texts
from tests.fakes.runs import GCC_ERROR, a_cell, a_run
from tests.fakes.tripwire import read_calls

_FAKE = '#!/bin/sh\nprintf \'%s\\0\' $(($# + 1)) "${0##*/}" "$@" >>"$KEPT"\n'
_COMMAND = re.compile(
    r"(?:(?<=  )|^|(?<=<pre tabindex=\"0\">))(\./inv |make |scripts/|mkdir |sh |git bisect |# |KCONFIG_SEED=)"
)
_TOOLS = (
    "docker",
    "make",
    "git",
    "sh",
    "cp",
    "mkdir",
    "nproc",
    "scripts/config",
    "scripts/diffconfig",
    "inv",
)


class Pasteboard:
    """A directory with fakes of all that printed commands name."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in _TOOLS:
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(_FAKE)
            (place / name).chmod(0o755)
        for name in ("touch", "sleep"):
            (place / name).symlink_to(f"/usr/bin/{name}")

    def paste(self, *lines: str) -> list[list[str]]:
        """The words of each command that these lines ran, the command's own name first."""
        kept = self.place / "kept"
        kept.unlink(missing_ok=True)
        environment = {"PATH": str(self.place), "KEPT": str(kept)}
        subprocess.run(
            ["/bin/sh"],
            input="\n".join(lines).encode("utf-8", "replace") + b"\n",
            cwd=self.place,
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert not list(self.place.rglob(f"*{TRIPWIRE}*"))
        return read_calls(kept)


@pytest.fixture
def pasteboard(tmp_path: Path) -> Pasteboard:
    (tmp_path / "board").mkdir()
    return Pasteboard(tmp_path / "board")


def as_words(*words: str) -> list[str]:
    return [replace_controls(word).encode("utf-8", "replace").decode() for word in words]


@pytest.fixture(scope="module")
def words() -> tuple[str, ...]:
    """Not made while tests are collected: every process would make them."""
    return (*NASTY_WORDS, *collect_examples(hostile_texts(), 200))


def test_every_word_of_a_command_comes_through(pasteboard: Pasteboard, words: Sequence[str]) -> None:
    commands = [format_command("./inv", word, f"--run={word}") for word in words]
    assert pasteboard.paste(*commands) == [["inv", *as_words(word, f"--run={word}")] for word in words]


def test_every_value_of_a_make_variable_comes_through(pasteboard: Pasteboard, words: Sequence[str]) -> None:
    commands = [f"make {format_variable('X', word)} {format_variable(word, 'y')}" for word in words]
    assert pasteboard.paste(*commands) == [["make", *as_words(f"X={word}", f"{word}=y")] for word in words]


def test_a_recorded_command_is_nothing_but_words(pasteboard: Pasteboard, words: Sequence[str]) -> None:
    """Whatever a stranger's record has for a command."""
    commands = []
    for word in words:
        try:
            commands.append(StageRecord(name="focus", state=State.FAIL, command=f"make {word}").command)
        except ValueError:
            continue
    assert len(commands) > 200
    calls = pasteboard.paste(*commands)
    assert {call[0] for call in calls} == {"make"}
    assert len(calls) == len(commands)


def hostile_run(word: str, name: str) -> Run:
    cell = a_cell(
        base=word,
        state=State.FAIL,
        diagnostics=[GCC_ERROR],
        make=f"ARCH=powerpc {format_variable('KCFLAGS', word)} {format_variable(word, word)}",
        stages=(
            StageRecord(name="focus", state=State.FAIL, command=format_command("make", "-k", "A=b", word)),
        ),
        fragment={"LOCALVERSION": word, word: "y"},
        log=f"cells/{word}/build.log",
    )
    other = a_cell(toolchain="clang-19", state=State.FAIL, make=cell.make, stages=cell.stages, base=word)
    bases = {word: BaseRecord(targets={"powerpc": word}, seed=3)}
    return a_run([cell, other], [GCC_ERROR], bases=bases, id=name, command=format_command("./inv", word))


def print_everything(stored: StoredRun) -> str:
    """A run in each format, at length, and where its reproducer is."""
    out = StringIO()
    console = Console(file=out, width=80)
    for name in (name for name, row in FORMATS.items() if not row.run_refusal):
        show_run(stored, name, console)
    show_run_summary(stored, console)
    show_explanation(stored, stored.findings.findings, console)
    show_reproducer(stored.directory / "repro.sh", console)
    return html.unescape(out.getvalue())


def find_commands(text: str) -> list[str]:
    """The lines that are to be typed, from where the command begins."""
    found = [(line, match) for line in text.splitlines() if (match := _COMMAND.search(line))]
    return [line[match.start(1) :].removesuffix("</pre>") for line, match in found]


def test_the_commands_of_reports_are_safe_whatever_a_run_holds(
    pasteboard: Pasteboard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = 0
    for number, word in enumerate(NASTY_WORDS):
        # A terminal shows a tab as blanks.
        name = as_file_name(word.replace("\t", "_"))[:40]
        directory = tmp_path / "runs" / f"{number}{name}"
        directory.mkdir(parents=True)
        stored = StoredRun(hostile_run(word, f"{number}{name}"), directory)
        try:
            text = print_everything(stored)
        except RequestError:
            continue
        commands = find_commands(text + capsys.readouterr().out)
        calls = pasteboard.paste(*commands)
        run = stored.name
        assert ["inv", "repro", "--finding", "F1", "--run", *as_words(run)] in calls
        assert ["git", "bisect", "run", "sh", *as_words(str(directory / "repro.sh"))] in calls
        assert {call[0] for call in calls} <= {"inv", "git", "sh"}, "no make line of a stranger's is live"
        tried += 1
    assert tried > 100


def test_a_plain_make_line_is_typed_as_it_is(pasteboard: Pasteboard, tmp_path: Path) -> None:
    cell = a_cell(
        state=State.FAIL,
        diagnostics=[GCC_ERROR],
        make="ARCH=powerpc KCFLAGS='-O2 -g' CROSS_COMPILE=powerpc64le-linux-gnu-",
        fragment={"LOCALVERSION": "-a b", "VFIO": "n"},
    )
    base = BaseRecord(targets={"powerpc": "ppc64le_defconfig"})
    location = RunLocation(
        StoredRun(a_run([cell], [GCC_ERROR], bases={"defconfig": base}), tmp_path), tmp_path
    )
    variables = ["O=/tmp/kmatrix", "ARCH=powerpc", "KCFLAGS=-O2 -g", "CROSS_COMPILE=powerpc64le-linux-gnu-"]
    calls = pasteboard.paste(*(command for _, command in list_make_steps(cell, location)))
    file = "/tmp/kmatrix/.config"
    assert calls == [
        ["make", *variables, "ppc64le_defconfig"],
        ["config", "--file", file, "--set-str", "LOCALVERSION", "-a b", "-d", "VFIO"],
        ["make", *variables, "olddefconfig"],
        ["nproc"],
        ["make", *variables, "-k", "-j", "arch/powerpc/kvm/", "drivers/vfio/"],
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"make": "ARCH=powerpc CC='sh -c x'"},
        {"make": "SHELL=/bin/x"},
        {"fragment": {"LOCALVERSION": "$(shell x)"}},
        {"fragment": {"A;x": "y"}},
        {"stages": (StageRecord(name="focus", state=State.FAIL, command="make -k A=b '$(shell x)/'"),)},
        {"stages": (StageRecord(name="focus", state=State.FAIL, command="make -k A=b modules_install"),)},
        {"fragment": {"LOCALVERSION": "x" * 5000}},
    ],
)
def test_what_may_run_more_than_a_build_is_a_comment(tmp_path: Path, fields: dict[str, Any]) -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR], **fields)
    base = BaseRecord(targets={"powerpc": "ppc64le_defconfig"})
    location = RunLocation(
        StoredRun(a_run([cell], [GCC_ERROR], bases={"defconfig": base}), tmp_path), tmp_path
    )
    steps = list_make_steps(cell, location)
    assert steps
    assert all(command.startswith("# ") for _, command in steps)


def test_a_copied_config_that_may_run_commands_is_a_comment(tmp_path: Path) -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    location = RunLocation(StoredRun(a_run([cell], [GCC_ERROR]), tmp_path), tmp_path)
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / str(cell.config_sha256)
    config.write_text('CONFIG_A=y\nCONFIG_B="a b"\n')
    assert list_make_steps(cell, location)[0][1].startswith("mkdir -p /tmp/kmatrix && cp ")
    for text in ('CONFIG_A="$(shell x)"\n', "CONFIG_A=`x`\n", "junk\n"):
        config.write_text(text)
        assert list_make_steps(cell, location)[0][1].startswith("# ")


def test_a_make_line_of_a_mail_is_a_comment_where_it_is_not_plain() -> None:
    def line(**fields: Any) -> str:
        cell: Cell = a_cell(state=State.FAIL, **fields)
        return format_make_line(cell)

    assert line().startswith("make ARCH=powerpc ")
    assert line(make="Q='touch x;'") == "# make Q='touch x;' -k arch/powerpc/kvm/ drivers/vfio/"
    assert line(stages=()) == ""


def test_the_way_to_clean_a_tree_is_safe_whatever_its_directories_are_called(
    pasteboard: Pasteboard, tmp_path: Path
) -> None:
    commands, expected = [], []
    for number, word in enumerate(NASTY_WORDS):
        name = as_file_name(word).strip(".") or "x"
        root = tmp_path / f"{number}{name}"
        (root / "arch" / name / "include/generated").mkdir(parents=True)
        hint = catch_hint(partial(refuse_build_leftovers, root, "spec"))
        commands.append(hint.partition("too): ")[2])
        expected.append(["make", "-C", *as_words(str(root), f"ARCH={name}"), "mrproper"])
    assert pasteboard.paste(*commands) == expected


def test_a_command_that_does_not_end_is_no_record() -> None:
    with pytest.raises(ValueError, match="No closing quotation"):
        quote_recorded_command("make 'x")


def as_file_name(word: str) -> str:
    return re.sub("[/\0]", "_", word).encode("utf-8", "replace").decode()[:60]


def catch_hint(call: Callable[[], object]) -> str:
    with pytest.raises(KmatrixError) as caught:
        call()
    return caught.value.hint


def test_the_commands_of_errors_are_safe_whatever_they_name(pasteboard: Pasteboard) -> None:
    commands, expected = [], []
    silent = FakeEngine(lambda *_: 1, images=["x"])
    for word in NASTY_WORDS:
        pull = catch_hint(partial(ensure_named_image, silent, word, lambda _: None))
        trial = catch_hint(partial(read_first_lines, silent, "x", [word], "0:0"))
        # The client is called as the engine is; the board has a stand-in for Docker's.
        commands += [f"docker{hint.partition('fake')[2]}" for hint in (pull, trial)]
        expected += [["docker", "pull", *as_words(word)]]
        expected += [["docker", "run", "--rm", "x", "sh", "-c", *as_words(word)]]
    assert pasteboard.paste(*commands) == expected


def test_the_way_to_fill_a_directory_is_safe_whatever_it_is_called(
    pasteboard: Pasteboard, tmp_path: Path
) -> None:
    commands, expected = [], []
    for word in NASTY_WORDS:
        directory = tmp_path / as_file_name(f"d{word}")
        directory.mkdir(exist_ok=True)
        hint = catch_hint(partial(read_series, str(directory)))
        commands.append(hint.partition("`")[2].rpartition("`")[0])
        expected.append(["git", "format-patch", "-o", *as_words(str(directory)), "BASE.."])
    assert pasteboard.paste(*commands) == expected


def test_one_module_quotes_what_is_printed() -> None:
    """The others split a recorded command, or one that the user names, or make one for a container."""
    top = Path(__file__).parents[2]
    files = [*top.glob("matrix/**/*.py"), *top.glob("reports/**/*.py"), top / "tasks.py"]
    users = {str(path.relative_to(top)) for path in files if "import shlex" in path.read_text()}
    assert users == {
        "matrix/shell_words.py",
        "matrix/findings/make_steps.py",
        "matrix/foreign_builds/foreign_log.py",
        "matrix/builder/reuse.py",
        "matrix/resolve/make_runner.py",
        "matrix/commands/mail_delivery.py",
    }
