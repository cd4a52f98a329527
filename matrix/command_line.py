"""The tasks of the command line, each made of options and a body."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

from matrix.commands.settings import OPTIONS, PROFILE_OPTION, Option, resolve_profile

CommandTask = Task[Callable[..., None]]
TaskOption = tuple[str, object, str]
"""An option of one task alone: name, default, help. Without a default it is positional."""
POSITIONAL = inspect.Parameter.empty
POSITIONAL_LIST = object()
"""As a default: an option that repeats, and that any word after the task is a value of."""

_SHARED_OPTIONS = {option.name: option for option in (PROFILE_OPTION, *OPTIONS)}
PROFILE_OPTIONS = tuple(_SHARED_OPTIONS)
"""The names of all options that the profile is made of."""


def define_task(
    *shared: str,
    own: Sequence[TaskOption] = (),
    settle: Callable[[Mapping[str, Sequence[str]], Mapping[str, str]], object] = resolve_profile,
) -> Callable[[Callable[..., int]], CommandTask]:
    """Make an Invoke task of a body that returns the exit code.

    ``shared`` are names of profile options: the body gets what ``settle`` makes of them, the profile that
    they result in, as its first argument. ``own`` are options of this task alone, which the body gets by
    name. Invoke reads a task's options from its signature, so one is made of both.
    """
    options = [*(_describe_shared_option(_SHARED_OPTIONS[name]) for name in shared), *own]
    listed = [name for name, default, _ in own if default is POSITIONAL_LIST]
    own_names = [_format_parameter_name(name) for name, _, _ in own]

    def wrap_body(body: Callable[..., int]) -> CommandTask:
        def run_body(_: Context, **values: Any) -> None:
            own_values = {name: values.pop(name) for name in own_names}
            profile = [settle(_collect_words(values), os.environ)] if shared else []
            code = body(*profile, **own_values)
            if code:
                raise Exit(code=code)

        # A task may be called as a word of Python: its body has a _ more.
        run_body.__name__, run_body.__doc__ = body.__name__.rstrip("_"), body.__doc__
        run_body.__signature__ = _build_signature(options)  # type: ignore[attr-defined]
        run_body.list_option = "".join(listed)  # type: ignore[attr-defined]
        wrapped: CommandTask = task(
            auto_shortflags=False,
            iterable=[
                _format_parameter_name(name)
                for name, default, _ in options
                if default == [] or default is POSITIONAL_LIST
            ],
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
        inspect.Parameter(
            _format_parameter_name(name),
            inspect.Parameter.KEYWORD_ONLY,
            default=[] if default is POSITIONAL_LIST else default,
        )
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
    """The command as it was typed, as a run records it: what is no UTF-8 in it is replaced."""
    return ["./inv", *(os.fsencode(word).decode("utf-8", "replace") for word in sys.argv[1:])]
