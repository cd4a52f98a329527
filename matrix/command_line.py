"""The command line, on top of Invoke: tasks made of options, their errors and exit codes, and the help."""

import inspect
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any, NoReturn

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit, ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program
from invoke.tasks import Task, task
from invoke.util import helpline

import matrix
from matrix.commands.settings import OPTIONS, PROFILE_OPTION, Option, resolve_profile
from matrix.errors import KmatrixError, format_nearest
from matrix.exit_codes import ExitCode

CommandTask = Task[Callable[..., None]]
TaskOption = tuple[str, object, str]
"""An option of one task alone: name, default, help. Without a default it is positional."""
POSITIONAL = inspect.Parameter.empty

_SHARED_OPTIONS = {option.name: option for option in (PROFILE_OPTION, *OPTIONS)}
PROFILE_OPTIONS = tuple(_SHARED_OPTIONS)
"""The names of all options that the profile is made of."""

_PROGRAM_OPTIONS = (
    ("--help [TASK]", "this help, or that of one task"),
    ("--list", "the tasks"),
    ("--version", "the version of kmatrix"),
    ("--print-completion-script SHELL", "completion for bash, zsh or fish"),
)
_UNKNOWN_WORD = re.compile(r"No idea what '(?P<word>.*)' is!")


def define_task(*shared: str, own: Sequence[TaskOption] = ()) -> Callable[[Callable[..., int]], CommandTask]:
    """Make an Invoke task of a body that returns the exit code.

    ``shared`` are names of profile options: the body gets the profile that they result in as its first
    argument. ``own`` are options of this task alone, which the body gets by name. Invoke reads a task's
    options from its signature, so one is made of both.
    """
    options = [*(_describe_shared_option(_SHARED_OPTIONS[name]) for name in shared), *own]
    own_names = [_format_parameter_name(name) for name, _, _ in own]

    def wrap_body(body: Callable[..., int]) -> CommandTask:
        def run_body(_: Context, **values: Any) -> None:
            with _report_errors():
                own_values = {name: values.pop(name) for name in own_names}
                profile = [resolve_profile(_collect_words(values), os.environ)] if shared else []
                code = body(*profile, **own_values)
            if code:
                raise Exit(code=code)

        run_body.__name__, run_body.__doc__ = body.__name__, body.__doc__
        run_body.__signature__ = _build_signature(options)  # type: ignore[attr-defined]
        wrapped: CommandTask = task(
            auto_shortflags=False,
            iterable=[_format_parameter_name(name) for name, default, _ in options if default == []],
            help={name: text for name, _, text in options},
        )(run_body)
        return wrapped

    return wrap_body


def _describe_shared_option(option: Option) -> TaskOption:
    if option.is_repeatable:
        return option.name, [], option.help
    return option.name, False if option.is_switch else None, option.help


def _build_signature(options: Sequence[TaskOption]) -> inspect.Signature:
    context = inspect.Parameter("c", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    others = [
        inspect.Parameter(_format_parameter_name(name), inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default, _ in options
    ]
    return inspect.Signature([context, *others])


def _format_parameter_name(option: str) -> str:
    return option.replace("-", "_")


def _collect_words(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Turn Invoke's values into the words of those options that were given."""
    given = {
        name.replace("_", "-"): value for name, value in values.items() if value not in (None, False, [])
    }
    return {
        name: value if isinstance(value, list) else ["yes" if value is True else value]
        for name, value in given.items()
    }


def read_command_line() -> list[str]:
    """The command as it was typed, as a run records it."""
    return ["./inv", *sys.argv[1:]]


@contextmanager
def _report_errors() -> Iterator[None]:
    """Turn every error into a sentence on stderr and an exit code; no other function does that."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # One that is ignored already, as under nohup, stays ignored: Python treats SIGINT in the same way.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_interrupt)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`). Python flushes once more at its end: that must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=ExitCode.WRONG_REQUEST) from None
    except KmatrixError as error:
        _exit_with_message(error.exit_code, f"kmatrix: {error}", error.hint)
    except KeyboardInterrupt:
        _exit_with_message(ExitCode.INTERRUPTED, "kmatrix: interrupted")
    except Exception as error:  # noqa: BLE001 - whatever comes here is a bug, and is reported as one
        if os.environ.get("KMATRIX_TRACEBACK"):
            traceback.print_exc()
        _exit_with_message(
            ExitCode.BUG,
            f"kmatrix: this is a bug: {type(error).__name__}: {error}",
            "KMATRIX_TRACEBACK=1 shows where",
        )


def _raise_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _exit_with_message(code: int, message: str, hint: str = "") -> NoReturn:
    raise Exit(message + (f"\n  {hint}" if hint else ""), code)


class TaskProgram(Program):
    """Invoke's program with kmatrix's tasks, in groups that its help shows under their titles."""

    namespace: Collection

    def __init__(self, description: str, groups: Mapping[str, Sequence[CommandTask]]) -> None:
        super().__init__(
            name="kmatrix",
            binary="./inv",
            binary_names=["inv", "kmatrix"],
            namespace=Collection(*chain.from_iterable(groups.values())),
            version=matrix.__version__,
        )
        self._description = description
        self._groups = groups

    def normalize_argv(self, argv: list[str] | None) -> None:
        """Make ``TASK --help`` the help of a task with a positional argument as well: Invoke would take the
        word for the argument's value."""
        super().normalize_argv(argv)
        for name, word in pairwise(self.argv):
            if word == "--help" and name in self.namespace.task_names:
                self.argv = [self.argv[0], "--help", name]

    def parse_tasks(self) -> None:
        """Parse the words after the program's own options. Exit for one that is no task and no option."""
        with self._name_unknown_word():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Show the help or the list, where that is asked for. Exit for a task that does not exist."""
        with self._name_unknown_word():
            super().parse_cleanup()

    @contextmanager
    def _name_unknown_word(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            unknown = _UNKNOWN_WORD.fullmatch(str(error))
            if unknown is None:
                raise
            _exit_with_message(
                ExitCode.WRONG_REQUEST, *self._describe_unknown_word(unknown["word"], error.context)
            )

    def _describe_unknown_word(self, word: str, context: ParserContext | None) -> tuple[str, str]:
        if not word.startswith("-"):
            near = format_nearest(word, self.namespace.task_names)
            return f"kmatrix: there is no task {word!r}{near}", f"{self.binary} --list shows the tasks"
        if context is None or context.name is None:
            message = f"kmatrix: there is no option {word!r} before a task"
            return message, f"an option stands after its task: {self.binary} TASK --help"
        message = f"kmatrix: {context.name} has no option {word!r}{format_nearest(word, context.flags)}"
        return message, f"{self.binary} {context.name} --help shows its options"

    def print_help(self) -> None:
        """Print what kmatrix is and what its tasks do; of Invoke's options only the useful ones."""
        _print_paragraph(f"Usage: {self.binary} TASK [--OPTION ...] [TASK [--OPTION ...]] ...")
        _print_paragraph(self._description)
        self.list_flat()
        _print_paragraph(f"The options of a task: {self.binary} TASK --help")
        _print_paragraph("Other options:")
        self.print_columns(_PROGRAM_OPTIONS)

    def list_flat(self) -> None:
        """Print each group's tasks with the first lines of their docstrings."""
        width = max(map(len, self.namespace.task_names))
        for title, group in self._groups.items():
            _print_paragraph(f"{title}:")
            self.print_columns([(command.name.ljust(width), helpline(command)) for command in group])


def _print_paragraph(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
