"""What ``--format`` asks for: formats, each on stdout or in a file of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import is_record_file
from matrix.side_failures import survive_failures
from matrix.user_files import check_output_file, expand_user_path, write_user_file
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
        """Whether stdout is another format's than the terminal's, so that all else is shown on stderr."""
        return self.stdout_format != DEFAULT_FORMAT

    def has_format(self, name: str) -> bool:
        return name in {self.stdout_format, *(output.name for output in self.outputs)}

    def check_files(self, out: str | None = None) -> None:
        """RequestError for a file that could not be written, or would replace a record; before any work.
        ``out`` is the run's directory, which the run makes."""
        seen: dict[Path, FormatOutput] = {}
        for output in self._list_file_outputs():
            assert output.file is not None
            file = _check_file(output.file, str(output), out)
            if file in seen:
                raise RequestError(
                    f"--format {output}: {seen[file].name} goes into this file",
                    "name another for one of them",
                )
            seen[file] = output

    def _list_file_outputs(self) -> Iterator[FormatOutput]:
        return (output for output in self.outputs if output.file is not None)

    def show_run(self, stored: StoredRun, console: Console, options: ReportOptions = NO_OPTIONS) -> None:
        """Write the files of a run, and show it on stdout."""
        self.write_run_files(stored, options)
        show_run(stored, self.stdout_format, console, options)

    def write_run_files(self, stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> None:
        """Each file of a run, whole or not at all. What cannot be written is a side failure."""
        for output in self._list_file_outputs():
            _write(output, FORMATS[output.name].render_run(stored, options))

    def show_verdict(
        self,
        verdict: Verdict,
        runs: Sequence[StoredRun],
        console: Console,
        options: ReportOptions = NO_OPTIONS,
    ) -> None:
        """The same for a verdict. ``runs`` are the one before and those after each step."""
        for output in self._list_file_outputs():
            text = FORMATS[output.name].render_verdict(verdict, runs[0], runs[-1], options)
            _write(output, text)
        show_compared_runs(verdict, runs, self.stdout_format, console, options)


def _write(output: FormatOutput, text: str) -> None:
    assert output.file is not None
    with survive_failures(str(output)):
        write_user_file(output.file, text)


def _check_file(path: Path, label: str, out: str | None) -> Path:
    directory = expand_user_path(out).absolute() if out else None
    if is_record_file(path, directory):
        raise RequestError(f"--format {label}: this is a file of the run's record", "name another file")
    if path.parent == directory:
        return path  # the run makes it
    return check_output_file(path, f"--format {label}")


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
