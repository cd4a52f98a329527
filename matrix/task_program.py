"""Invoke's program with kmatrix's tasks: what it takes of a command line, what it says, and the help."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise

from invoke.collection import Collection
from invoke.config import Config
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.program import Program
from invoke.tasks import Task
from invoke.util import helpline

import matrix
from matrix.error_report import run_reporting_errors
from matrix.errors import RequestError, format_nearest
from matrix.standard_streams import guard_standard_streams

_PROGRAM_OPTIONS = (
    ("--help [TASK]", "this help, or that of one task"),
    ("--list", "the tasks"),
    ("--version", "the version of kmatrix"),
    ("--print-completion-script SHELL", "completion for bash, zsh or fish"),
)
# Invoke's other options are about commands that tasks of its own kind run. `complete` serves the completion.
_TAKEN_OPTIONS = {"help", "list", "version", "print-completion-script", "complete"}
_UNKNOWN_WORD = re.compile(r"No idea what (?P<quoted>'.*'|\".*\") is!", re.DOTALL)
_MISSING_VALUE = re.compile(r"Flag <Argument: (?P<name>[\w-]++).*> needed value and was not given one!")
_MISSING_POSITIONAL = re.compile(
    r"'(?P<task>[\w-]+)' did not receive required positional arguments: (?P<names>.+)"
)


class _BareConfig(Config):
    """Invoke's settings at their defaults: no file of its own and no INVOKE_ variable changes kmatrix."""

    def load_base_conf_files(self) -> None:
        """Read neither the system's file nor the user's."""

    def load_shell_env(self) -> None:
        """Read no variable."""


class TaskProgram(Program):
    """Invoke's program with kmatrix's tasks, in groups that its help shows under their titles."""

    namespace: Collection

    def __init__(self, description: str, groups: Mapping[str, Sequence[Task]]) -> None:  # type: ignore[type-arg]
        super().__init__(
            name="kmatrix",
            binary="./inv",
            binary_names=["inv", "kmatrix"],
            namespace=Collection(*chain.from_iterable(groups.values())),
            version=matrix.__version__,
            config_class=_BareConfig,
        )
        self._description = description
        self._groups = groups

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002
        """Run the tasks that the words name. SystemExit with the exit code, unless that is 0."""
        with guard_standard_streams():
            code = run_reporting_errors(lambda: self._run_tasks(argv))
        if exit and code:
            sys.exit(code)

    def _run_tasks(self, argv: list[str] | None) -> int:
        """The steps of Invoke's own `run`, which has other exit codes and prints what it cannot handle."""
        try:
            self.create_config()
            self.parse_core(argv)
            self.parse_collection()
            self.parse_tasks()
            self.parse_cleanup()
            self.execute()
        except Exit as end:
            return end.code
        return 0

    def core_args(self) -> list[Argument]:
        """Invoke's options, none of which turns its value into a number: those are refused as they are."""
        arguments = super().core_args()
        for argument in arguments:
            argument.kind = str if argument.kind is int else argument.kind
        return arguments

    def normalize_argv(self, argv: list[str] | None) -> None:
        """Make ``TASK --help`` the help of a task with a positional argument as well: Invoke would take the
        word for the argument's value."""
        super().normalize_argv(argv)
        for name, word in pairwise(self.argv):
            if word == "--help" and name in self.namespace.task_names:
                self.argv = [self.argv[0], "--help", name]
        self.argv = [*self.argv[:1], *self.name_listed_words(self.argv[1:])]

    def name_listed_words(self, words: Sequence[str]) -> Iterator[str]:
        """The same words, those of a positional list as values of its option: Invoke knows no such lists."""
        task, is_value = None, False
        for word in words:
            if is_value or word.startswith("--"):
                yield word
                is_value = not is_value and task is not None and _takes_value(task, word)
            elif word in self.namespace.task_names:
                task = self.namespace[word]
                yield word
            elif task is not None and (option := _find_list_option(task)):
                yield f"--{option}={word}"
            else:
                yield word

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the program's own options. RequestError for what is none of them."""
        with self._report_parse_errors():
            super().parse_core(argv)

    def parse_core_args(self) -> None:
        """Parse Invoke's options before the tasks. RequestError for one that means nothing here."""
        super().parse_core_args()
        self._refuse_unused_options(self.core[0])

    def parse_tasks(self) -> None:
        """Parse the words after the program's own options. RequestError for what is no task and no option."""
        with self._report_parse_errors():
            super().parse_tasks()
        self._refuse_unused_options(self.core_via_tasks)
        for context in self.tasks:
            _refuse_empty_values(context)

    def parse_cleanup(self) -> None:
        """Show the help or the list, where that is asked for. RequestError for a task that does not exist."""
        if isinstance(self.args.list.value, str):
            raise RequestError(
                f"--list takes no name, and {self.args.list.value!r} stands behind it",
                f"{self.binary} --list shows the tasks, {self.binary} TASK --help the options of one",
            )
        with self._report_parse_errors():
            super().parse_cleanup()

    @contextmanager
    def _report_parse_errors(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            raise RequestError(*self._describe_parse_error(str(error), error.context)) from error

    def _describe_parse_error(self, text: str, context: ParserContext | None) -> tuple[str, str]:
        task = context.name if context and context.name else "TASK"
        options_hint = f"{self.binary} {task} --help shows its options"
        if unknown := _UNKNOWN_WORD.fullmatch(text):
            return self._describe_unknown_word(_unquote_word(unknown["quoted"]), context)
        if valueless := _MISSING_VALUE.fullmatch(text):
            return f"--{valueless['name']} needs a value", options_hint
        if lacking := _MISSING_POSITIONAL.fullmatch(text):
            return f"{lacking['task']} needs {lacking['names'].replace(', ', ' and ')}", options_hint
        return text, options_hint

    def _describe_unknown_word(self, word: str, context: ParserContext | None) -> tuple[str, str]:
        if switch := self._find_switch_with_value(word):
            return f"{switch} takes no value, and {word!r} stands behind it", "leave the value out"
        if not word.startswith("-"):
            near = format_nearest(word, self.namespace.task_names)
            return f"there is no task {word!r}{near}", f"{self.binary} --list shows the tasks"
        if context is None or context.name is None:
            message = f"there is no option {word!r} before a task"
            return message, f"an option stands after its task: {self.binary} TASK --help"
        message = f"{context.name} has no option {word!r}{format_nearest(word, context.flags)}"
        return message, f"{self.binary} {context.name} --help shows its options"

    def _find_switch_with_value(self, word: str) -> str | None:
        """The switch of which Invoke has split this off: ``--json=yes`` is ``--json`` and a task to it."""
        pairs = (given.partition("=")[::2] for given in self.argv if given.startswith("--"))
        return next((option for option, value in pairs if value and value == word), None)

    def _refuse_unused_options(self, context: ParserContext) -> None:
        for argument in context.args.values():
            if argument.name not in _TAKEN_OPTIONS and argument.raw_value is not None:
                raise RequestError(
                    f"--{argument.name} is an option of Invoke's that means nothing here",
                    f"{self.binary} --help shows kmatrix's own",
                )

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


def _find_list_option(command: Task) -> str:  # type: ignore[type-arg]
    """The option that takes any word after the task; empty where it has none."""
    return str(getattr(command.body, "list_option", ""))


def _takes_value(command: Task, word: str) -> bool:  # type: ignore[type-arg]
    """Whether the next word is this option's value."""
    parameters = inspect.signature(command.body).parameters
    parameter = parameters.get(word.removeprefix("--").replace("-", "_"))
    return parameter is not None and not isinstance(parameter.default, bool)


def _refuse_empty_values(context: ParserContext) -> None:
    """An empty value is a variable of a script that is not set: it must not pass for an option left out."""
    for argument in context.args.values():
        given = argument.raw_value
        if given == "" and (argument.positional or argument.default == ""):
            option = argument.name.replace("_", "-")
            label = option if argument.positional else f"--{option}"
            raise RequestError(f"{label} is empty", "leave it out, or give it a value")


def _unquote_word(quoted: str) -> str:
    """The word that Invoke's message quotes, in one place with repr() and in another without."""
    try:
        return str(ast.literal_eval(quoted))
    except (SyntaxError, ValueError):
        return quoted[1:-1]


def _print_paragraph(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
