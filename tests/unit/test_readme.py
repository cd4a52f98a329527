"""README and CONTRIBUTING name only what is there, and README's tables name all of it."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from invoke.exceptions import ParseError
from invoke.parser.context import ParserContext
from invoke.parser.parser import Parser

import tasks
from matrix.catalog.load import list_profile_names, load_catalog, load_profile, validate_toml_data
from matrix.catalog.toml_file import read_toml
from matrix.catalog.types import Arch, Base, Knob, Profile, Toolchain
from matrix.commands.settings import OPTIONS, format_environment_variable, resolve_profile
from matrix.commands.sweep import MAX_HASH_CACHES_MIB, MAX_RESOLUTIONS_MIB, MAX_UNUSED_DAYS
from matrix.errors import KmatrixError
from matrix.exit_codes import LADDER, ExitCode
from matrix.plan import plan_requests
from matrix.record.states import State
from reports import FORMATS

ROOT = Path(__file__).parents[2]
BOTH = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}
README = BOTH["README.md"]
ROWS: dict[str, Any] = {"arches": Arch, "toolchains": Toolchain, "bases": Base, "knobs": Knob}
ENOUGH = {"arch": ("x86",), "toolchain": ("gcc-14",), "focus": ("drivers/vfio/",)}
OF_OTHERS = {"--upgrade"}
REPRODUCER = (ROOT / "matrix/commands/templates/repro.sh.j2").read_text()

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"(?:matrix|reports|tests|dockerfiles|\.ci)/[\w./-]*|[\w-]+\.(?:py|txt|md)")
_ENDS = {"&&", "||", ";", "|", ">"}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language, without the indent of a list that they stand in."""
    found = [(indent, body) for indent, kind, body in _FENCE.findall(text) if kind == language]
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def spans(text: str) -> list[str]:
    """The code inside of sentences and tables."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", text))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every call of ``inv``, without ``inv`` itself."""
    shell = (*blocks(text, "sh"), *blocks(text, "crontab"))
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    for line in (line for line in (*lines, *spans(text)) if "/inv" in line):
        words = list(shell_words(line))
        for index, word in enumerate(words):
            if word.endswith("/inv") and len(words) > index + 1:
                yield list(takewhile(lambda word: word not in _ENDS, words[index + 1 :]))


def shell_words(line: str) -> Iterator[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return iter(words)


def parsed(words: list[str]) -> list[ParserContext]:
    """The tasks that a command line names, with their options. ParseError where invoke would refuse it."""
    core = ParserContext(args=tasks.program.core_args())
    named = list(tasks.program.name_listed_words(words))
    contexts = Parser(contexts=tasks.namespace.to_contexts(), initial=core).parse_argv(named)
    return [context for context in contexts if context.name]


def names(words: list[str]) -> list[str]:
    """The names of these tasks."""
    return [str(context.name) for context in parsed(words)]


def options(context: ParserContext) -> dict[str, list[str]]:
    """The options that a task was given, each with its words."""
    given = {str(arg.name): arg.value for arg in context.args.values() if arg.got_value}
    return {name: value if isinstance(value, list) else [str(value)] for name, value in given.items()}


def column(heading: str) -> list[str]:
    """README's table whose first column has this heading: that column, without backquotes."""
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert found, f"README has no table of {heading}"
    return [row.split("|")[1].strip().replace("`", "") for row in found[1].splitlines()]


@pytest.mark.parametrize("name", BOTH)
def test_every_command_is_one_that_inv_takes(name: str) -> None:
    found = list(commands(BOTH[name]))
    assert len(found) > 5
    for words in found:
        try:
            parsed(words)
        except ParseError as error:
            pytest.fail(f"{name}: ./inv {shlex.join(words)}: {error}")


def test_every_run_that_the_readme_shows_has_something_to_build() -> None:
    """A term of --select that the profile's axes have not would be refused."""
    tasks_shown = [context for words in commands(README) for context in parsed(words)]
    runs = [options(context) for context in tasks_shown if context.name == "run"]
    builtin = [given for given in runs if "vfio.toml" not in given.get("profile", [])]
    assert len(builtin) > 3
    for given in builtin:
        assert plan_requests(resolve_profile(given, {}))


@pytest.mark.parametrize(
    "wrong",
    ["./inv bisect", "./inv run --resumed x", "cd x && ./inv sweep --arch x86", "x/inv a; ./inv run"],
)
def test_a_command_that_is_not_there_would_be_noticed(wrong: str) -> None:
    with pytest.raises(ParseError):
        parsed(next(commands(f"```sh\n{wrong}\n```\n")))


def test_the_two_lines_come_first() -> None:
    assert [names(words) for words in commands(f"```sh\n{blocks(README, 'sh')[0]}```\n")] == [
        ["setup", "run"],
        ["setup", "test"],
    ]


@pytest.mark.parametrize("name", BOTH)
def test_every_option_that_is_named_exists(name: str) -> None:
    known = {flag for context in tasks.namespace.to_contexts() for flag in context.flags}
    known |= {f"--{word}" for argument in tasks.program.core_args() for word in argument.names}
    known |= set(re.findall(r"^ {2}(--\w+)", REPRODUCER, re.MULTILINE))
    named = {re.split(r"[ =]", span)[0] for span in spans(BOTH[name]) if span.startswith("--")}
    assert named
    assert named - known <= OF_OTHERS


def test_every_task_has_its_row() -> None:
    rows = [name.strip() for row in column("task") for name in row.split(",")]
    assert sorted(rows) == sorted(str(name) for name in tasks.namespace.task_names)


def test_every_shared_option_is_named() -> None:
    assert {f"--{option.name}" for option in OPTIONS} | {"--profile"} <= set(spans(README))


def test_every_key_of_a_profile_is_explained_and_no_other() -> None:
    keys = {field.alias or name for name, field in Profile.model_fields.items()}
    # A profile is named by its file, so this one key is nobody's to write.
    assert sorted(column("key")) == sorted(keys - {"profile"})


@pytest.mark.parametrize("key", ["base", "source", "stage", "timeout"])
def test_a_default_that_is_told_is_the_profiles_own(key: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{key}` |"))
    told = row.split("|")[-2].strip(' `"[]')
    default = Profile.model_fields[key].default
    assert told == (",".join(default) if isinstance(default, tuple) else default)


def test_the_states_are_all_there_with_their_signs() -> None:
    rows = re.findall(r"^\| `(.)` \| `([a-z-]+)` \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(state.row.sign, state, state.row.meaning) for state in State]


def test_the_exit_codes_are_all_there_with_their_meanings() -> None:
    rows = re.findall(r"^\| code \| meaning \|\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert rows == ["".join(f"| {code} | {code.meaning} |\n" for code in ExitCode)]
    errors: list[type[KmatrixError]] = [KmatrixError, *KmatrixError.__subclasses__()]
    ends_of_runs = {ExitCode.PASSED, ExitCode.FAILED, ExitCode.WARNED}
    assert set(ExitCode) == {error.exit_code for error in errors} | ends_of_runs


def test_the_order_of_the_exit_codes_is_the_ladders() -> None:
    """Of a run, 1 never holds together with a code that comes after it."""
    told = re.search(r"When several hold: ([0-9, ]+)\.", README)
    assert told
    assert told[1].split(", ") == [str(code) for code in LADDER if code is not ExitCode.WRONG_REQUEST]


def test_the_names_of_formats_profiles_bases_and_toolchains_are_there() -> None:
    catalog = load_catalog()
    ends = {name for name in catalog.toolchains if name in {"gcc-12", "gcc-14", "clang-17", "clang-19"}}
    formats = {"terminal", "text", "html", "markdown", "mail", "junit", "github", "kcidb"} | {
        "sarif",
        "patchwork",
        "csv",
    }
    assert formats == set(FORMATS)
    assert set(FORMATS) | set(list_profile_names()) | set(catalog.bases) | ends <= set(spans(README))


def test_what_a_sweep_leaves_is_told_as_it_is() -> None:
    paragraph = re.search(r"^\*\*Cleaning up\.\*\*.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert paragraph
    words = " ".join(paragraph[0].split())
    assert f"not used for {MAX_UNUSED_DAYS} days" in words
    assert f"beyond {MAX_RESOLUTIONS_MIB} MiB and {MAX_HASH_CACHES_MIB} MiB" in words


@pytest.mark.parametrize("name", BOTH)
def test_every_variable_of_kmatrix_is_one_that_it_reads(name: str) -> None:
    files = [*(ROOT / "matrix").rglob("*.py"), ROOT / "tasks.py"]
    if name == "CONTRIBUTING.md":
        files += (ROOT / "tests").rglob("*.py")
    code = "".join(path.read_text() for path in files)
    read = set(re.findall(r'environ\.get\("(KMATRIX_\w+)"', code))
    read |= {
        format_environment_variable(option) for option in ("profile", *(option.name for option in OPTIONS))
    }
    assert set(re.findall(r"KMATRIX_\w+", BOTH[name])) <= read


@pytest.mark.parametrize("name", BOTH)
def test_every_file_that_is_named_is_there(name: str) -> None:
    named = [span for span in spans(BOTH[name]) if _FILE.fullmatch(span) and "NAME" not in span]
    named += re.findall(r"\]\(([^)#]+)", BOTH[name])
    made = {"report.txt", "report.md"}
    assert named
    assert [place for place in named if not (ROOT / place).exists() and place not in made] == []


def house() -> list[Path]:
    """The paths in CONTRIBUTING's tree of the house, in its order."""
    section = BOTH["CONTRIBUTING.md"].split("\n## ")[1]
    rows = re.findall(r"^ {4}( *)([\w./]+) {2,}\S", section, re.MULTILINE)
    folders: dict[int, Path] = {}
    paths = []
    for indent, name in rows:
        paths.append(folders.get(len(indent) - 2, ROOT) / name)
        folders[len(indent)] = paths[-1]
    return paths


def test_the_house_is_as_it_is_drawn() -> None:
    drawn = house()
    made_by_runs = ROOT / "runs"
    assert [path for path in drawn if not path.exists() and path != made_by_runs] == []
    packages = [path.parent for path in (*ROOT.glob("matrix/**/__init__.py"), ROOT / "reports/__init__.py")]
    modules = [path for path in ROOT.glob("matrix/*.py") if path.name != "__init__.py"]
    assert [path for path in (*packages, *modules) if path not in drawn] == []


@pytest.mark.parametrize("block", [block for text in BOTH.values() for block in blocks(text, "toml")])
def test_every_toml_example_is_taken(block: str, tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(block)
    rows = re.match(r"# matrix/catalog/(\w+)\.toml\n", block)
    if rows:
        for key, row in read_toml(file).items():
            validate_toml_data(ROWS[rows[1]], row, {}, default=key)
    else:
        whole = "arch" in tomllib.loads(block)
        load_profile(str(file), [] if whole else [("the rest", ENOUGH)])


@pytest.mark.parametrize("name", BOTH)
def test_text_is_wrapped_at_a_hundred_columns(name: str) -> None:
    # What a compiler said and what is typed stands as it is.
    pictures = "\n".join(blocks(BOTH[name], "text"))
    lines = (line for line in BOTH[name].splitlines() if line[:1] != "|" and line not in pictures)
    assert [line for line in lines if len(line) > 100] == []
