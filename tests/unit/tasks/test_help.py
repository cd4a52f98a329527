"""The program itself: its help, of every task and every option, its version and its script."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tasks
from matrix.commands.settings import OPTIONS
from tests.unit.tasks.command_line import ROOT, TASKS, Said, kmatrix


def test_the_tasks_are_those_of_this_table() -> None:
    assert set(tasks.namespace.tasks) >= set(TASKS)


# Invoke takes the help out of a task when it reads the options: only a fresh process has it whole.
_WITHOUT_HELP = """
import tasks
for name, task in tasks.namespace.tasks.items():
    lacking = [argument.name for argument in task.get_arguments() if not argument.help]
    if lacking or not task.__doc__:
        print(name, *lacking)
"""


def test_every_task_and_every_option_of_it_has_help() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-c", _WITHOUT_HELP], capture_output=True, text=True, check=True, env=environment
    )
    assert shown.stdout == ""


@pytest.mark.parametrize("task", tasks.namespace.tasks)
def test_help_of_a_task_comes_before_it(task: str, capsys: Said) -> None:
    assert kmatrix("--help", task) == 0
    out, err = capsys.readouterr()
    assert "Docstring:\n  none" not in out
    assert err == ""


@pytest.mark.parametrize("task", TASKS)
def test_help_comes_after_a_task_too(task: str, capsys: Said) -> None:
    assert kmatrix(task, "--help") == 0
    assert "Docstring:" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["setup", "run", "plan"])
def test_the_main_tasks_take_every_shared_option(task: str, capsys: Said) -> None:
    kmatrix("--help", task)
    out = capsys.readouterr().out
    assert [option.name for option in OPTIONS if f"--{option.name}" not in out] == []
    assert "--profile" in out


@pytest.mark.parametrize("task", tasks.namespace.tasks)
def test_no_option_has_a_short_flag_that_help_would_have_to_explain(task: str) -> None:
    one = tasks.namespace.tasks[task]
    assert [name for argument in one.get_arguments() for name in argument.names if len(name) == 1] == []


def test_help_shows_usage_what_it_is_for_the_tasks_and_how_to_learn_more(capsys: Said) -> None:
    assert kmatrix("--help") == 0
    out, err = capsys.readouterr()
    paragraphs = out.split("\n\n")
    assert paragraphs[0].startswith("Usage: ./inv TASK")
    assert paragraphs[1].startswith("kmatrix builds a Linux tree")
    assert paragraphs[2] == "The main job:"
    assert paragraphs[-4] == "The options of a task: ./inv TASK --help"
    assert paragraphs[-3] == "Other options:"
    assert err == ""


def _tasks_shown(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines() if line[:2] == "  " and line[2] not in " -"]


@pytest.mark.parametrize("words", [("--help",), ("-h",), (), ("--list",), ("-l",)])
def test_every_task_is_shown_once_in_the_order_of_the_namespace_with_its_first_line(
    words: tuple[str, ...], capsys: Said
) -> None:
    assert kmatrix(*words) == 0
    out = capsys.readouterr().out
    assert _tasks_shown(out) == list(tasks.namespace.tasks)
    assert [name for name in TASKS if name not in _tasks_shown(out)] == []
    joined = " ".join(out.split())
    docstrings = [str(task.__doc__) for task in tasks.namespace.tasks.values()]
    assert [text for text in docstrings if text.splitlines()[0] not in joined] == []


@pytest.mark.parametrize("words", [("--help",), ()])
def test_of_invokes_own_options_only_what_serves_a_user_is_shown_and_last(
    words: tuple[str, ...], capsys: Said
) -> None:
    kmatrix(*words)
    tasks_part, options_part = capsys.readouterr().out.split("Other options:")
    assert not re.search(r"^ +-", tasks_part, re.MULTILINE)
    shown = re.findall(r"^ +--([\w-]+)", options_part, re.MULTILINE)
    assert shown == ["help", "list", "version", "print-completion-script"]
    assert set(shown) <= {name for argument in tasks.program.core_args() for name in argument.names}


def test_it_tells_its_version(capsys: Said) -> None:
    assert kmatrix("--version") == 0
    assert capsys.readouterr().out.startswith("kmatrix ")


def test_the_script_of_the_virtual_environment_is_the_same_program() -> None:
    script = Path(sys.executable).parent / "kmatrix"
    if not script.exists():
        pytest.skip("kmatrix is not installed in this environment")
    done = subprocess.run([script, "report", "--run", "nosuch"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "kmatrix: there is no run 'nosuch'" in done.stderr
    assert done.stdout == ""
