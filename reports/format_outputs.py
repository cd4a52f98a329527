"""What ``--format`` asks for: formats, each on stdout or in a file of its own."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import RUN_FOLDERS, is_record_file
from matrix.side_failures import survive_failures
from matrix.user_files import append_user_file, check_output_file, expand_user_path, write_user_file
from matrix.verdict.verdict_model import Verdict
from reports import (
    DEFAULT_FORMAT,
    FORMATS,
    NO_OPTIONS,
    ReportOptions,
    find_format,
    show_compared_runs,
    show_run,
)
from reports.limits import ADDED_BYTES
from reports.report_format import ReportFormat
from reports.style import print_line
from reports.workflow_commands import stop_commands

FORMAT_HELP = (
    f"{', '.join(FORMATS)}: on stdout, or FORMAT=FILE; repeats, and one at most goes to stdout "
    f"(default: {DEFAULT_FORMAT})"
)
_STDOUT = "-"


@dataclass(frozen=True)
class FormatOutput:
    """A format and its file; None is stdout."""

    name: str
    file: Path | None = None

    def __str__(self) -> str:
        return f"{self.name}={self.file}" if self.file else self.name


@dataclass(frozen=True)
class FormatOutputs:
    """All that was asked for: at most one without a file, and no two with the same."""

    outputs: tuple[FormatOutput, ...] = ()

    @property
    def stdout_format(self) -> str:
        """What is shown on stdout: the terminal's where nothing else is asked for."""
        return next((output.name for output in self.outputs if output.file is None), DEFAULT_FORMAT)

    @property
    def has_stdout(self) -> bool:
        """Whether stdout is another format's alone, so that all else is shown on stderr."""
        return self.stdout_format != DEFAULT_FORMAT and not FORMATS[self.stdout_format].has_terminal

    def has_format(self, name: str) -> bool:
        return name in {self.stdout_format, *(output.name for output in self.outputs)}

    def require_run(self) -> None:
        """RequestError for a format that cannot show a run."""
        for output in self.outputs:
            if refusal := FORMATS[output.name].run_refusal:
                raise RequestError(f"--format {output.name}: {refusal[0]}", refusal[1])

    def check_files(self, out: str | None = None) -> None:
        """RequestError for a file that could not be written, or would replace a record; before any work.
        ``out`` is the run's directory, which the run makes."""
        seen: dict[Path, FormatOutput] = {}
        for output in self.outputs:
            if output.file is None:
                continue
            file = _check_file(output.file, output, out)
            if file in seen:
                raise RequestError(
                    f"--format {output}: {seen[file].name} goes into this file",
                    "name another for one of them",
                )
            seen[file] = output

    def guard_display(self, console: Console) -> AbstractContextManager[None]:
        """While the ``with`` block runs, nothing on the console is a command to what reads the format."""
        return stop_commands(console) if FORMATS[self.stdout_format].has_terminal else nullcontext()

    def show_run(self, stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> None:
        """A run on stdout and in files."""
        self.require_run()
        if not self.has_stdout:
            with self.guard_display(console := Console()):
                show_run(stored, DEFAULT_FORMAT, console, options)
        self.write_run(stored, options)

    def write_run(self, stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> None:
        """The same without the terminal's. Each file is whole or not there; what cannot be written is a side
        failure."""
        for output in self._list_written():
            row = FORMATS[output.name]
            _write(output, row, row.render_run(stored, options))
            _append_all(
                {name: partial(render, stored, options) for name, render in row.run_additions.items()}
            )

    def show_verdict(
        self, verdict: Verdict, runs: Sequence[StoredRun], options: ReportOptions = NO_OPTIONS
    ) -> None:
        """The same for a verdict. ``runs`` are the one before and those after each step."""
        given = verdict, runs[0], runs[-1], options
        if not self.has_stdout:
            with self.guard_display(console := Console()):
                show_compared_runs(verdict, runs, DEFAULT_FORMAT, console, options)
        for output in self._list_written():
            row = FORMATS[output.name]
            _write(output, row, row.render_verdict(*given))
            _append_all({name: partial(render, *given) for name, render in row.verdict_additions.items()})

    def _list_written(self) -> Iterator[FormatOutput]:
        """All but what the terminal shows; what goes to stdout last, as nobody may read it."""
        written = (each for each in self.outputs if each.file or each.name != DEFAULT_FORMAT)
        return iter(sorted(written, key=lambda each: each.file is None))


def _write(output: FormatOutput, row: ReportFormat, text: str) -> None:
    for note in row.find_notes(text):
        _tell(f"{output}: {note}")
    if output.file is None:
        sys.stdout.write(text)
        return
    with survive_failures(str(output)):
        write_user_file(output.file, text)


def _append_all(additions: Mapping[str, Callable[[], str]]) -> None:
    """Append each text to the file that its variable names; say which are not set."""
    unset = [name for name in additions if not os.environ.get(name)]
    for name in additions.keys() - unset:
        with survive_failures(f"the file of {name}"):
            if not append_user_file(expand_user_path(os.environ[name]), additions[name](), ADDED_BYTES):
                _tell(f"the file of {name} has no room: nothing was added to it")
    if unset:
        _tell(f"not set, so not written: {', '.join(unset)}; a workflow of GitHub's sets them")


def _tell(note: str) -> None:
    print_line(Console(stderr=True), f"kmatrix: {note}")


def _check_file(path: Path, output: FormatOutput, out: str | None) -> Path:
    directory = expand_user_path(out).absolute() if out else None
    if is_record_file(path, directory):
        raise RequestError(f"--format {output}: this is a file of the run's record", "name another file")
    if path == directory or (path.parent == directory and path.name in RUN_FOLDERS):
        raise RequestError(f"--format {output}: this is a directory of the run's", "name a file")
    if path.parent == directory:
        _check_own_report(path, output)
        return path  # the run makes it
    return check_output_file(path, f"--format {output}")


def _check_own_report(path: Path, output: FormatOutput) -> None:
    """RequestError for another format's file that a run always has: it would be replaced."""
    owners = [name for name, row in FORMATS.items() if row.run_file == path.name]
    if owners and output.name not in owners:
        raise RequestError(f"--format {output}: the run's {owners[0]} goes into this file", "name another")


def parse_format_outputs(words: Sequence[str]) -> FormatOutputs:
    """What these values of ``--format`` ask for. RequestError for an unknown format, no file behind ``=``,
    two for stdout."""
    outputs = tuple(map(_parse_output, words))
    on_stdout = [output.name for output in outputs if output.file is None]
    if len(on_stdout) > 1:
        first, second, *_ = on_stdout
        raise RequestError(
            f"--format {first} and --format {second} would both go to stdout",
            f"give one of them a file: --format {second}=FILE",
        )
    return FormatOutputs(outputs)


def _parse_output(word: str) -> FormatOutput:
    name, equals, file = word.partition("=")
    find_format(name)
    if equals and not file:
        raise RequestError(f"--format {name}= names no file", f"--format {name}=FILE, or --format {name}")
    # Absolute: a command may change its directory.
    path = expand_user_path(file).absolute() if file not in ("", _STDOUT) else None
    return FormatOutput(name, path)
