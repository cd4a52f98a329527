"""README and CONTRIBUTING name only what is there, and README names all that its tables are about."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from invoke.parser import ParseError, Parser, ParserContext

import tasks
from matrix.catalog.load import load_catalog, load_profile, profile_names, read_toml, validated
from matrix.catalog.types import Arch, Base, Profile, Setting, Toolchain
from matrix.errors import KmatrixError
from matrix.jobs.settings import OPTIONS, variable
from matrix.record.outcome import State
from reports import FORMATS
from reports.look import SIGNS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BOTH = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}
KINDS = {"arches": Arch, "toolchains": Toolchain, "bases": Base, "knobs": dict[str, dict[str, Setting]]}
# Options of other programs that are told of, and ours that Invoke has for every task.
FOREIGN = {"--upgrade"}
MINIMAL = {"arch": ("x86",), "toolchain": ("gcc-14",), "focus": ("drivers/vfio/",)}

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_PLACE = re.compile(r"(?:matrix|reports|tests|dockerfiles|\.ci)/[\w./-]*|[\w-]+\.(?:py|toml|txt|md)")
_ENDS = {"&&", "||", ";", "|", ">"}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks in a language, without the indent of a list that they stand in."""
    found = [(indent, body) for indent, kind, body in _FENCE.findall(text) if kind == language]
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def spans(text: str) -> list[str]:
    """The code inside of sentences and tables, as one line each."""
    return [" ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", text))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every call of ``inv``, without ``inv`` itself."""
    lines = [
        line for kind in ("sh", "crontab", "text") for block in blocks(text, kind) for line in whole(block)
    ]
    for line in (*lines, *spans(text)):
        words = shlex.split(line, comments=True) if re.search(r"(?:^|[ /])inv(?: |$)", line) else []
        for index, word in enumerate(words):
            if re.fullmatch(r"\S*/inv", word):
                rest = [part for end in words[index + 1 :] for part in re.split(r"(;)", end) if part]
                yield list(takewhile(lambda word: word not in _ENDS, rest))


def whole(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def table(first: str) -> list[str]:
    """What stands in the first column of README's table with this heading, without backquotes."""
    heading = re.search(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert heading, f"README has no table of {first}"
    return [row.split("|")[1].strip().replace("`", "") for row in heading[1].splitlines()]


def parse(words: list[str]) -> list[str]:
    """The tasks that a command line names. ParseError where it is wrong."""
    core = ParserContext(args=tasks.program.core_args())
    result = Parser(contexts=tasks.namespace.to_contexts(), initial=core).parse_argv(words)
    return [str(context.name) for context in result if context.name]


@pytest.mark.parametrize("name", BOTH)
def test_every_command_is_one_that_inv_takes(name: str) -> None:
    found = list(commands(BOTH[name]))
    assert len(found) > 5
    for words in found:
        try:
            parse(words)
        except ParseError as error:
            pytest.fail(f"{name}: ./inv {shlex.join(words)}: {error}")


def test_a_task_or_option_that_is_not_there_would_be_noticed() -> None:
    for wrong in ("./inv explain", "./inv run --resume x", "cd x && ./inv sweep --profile quick"):
        with pytest.raises(ParseError):
            parse(next(commands(f"```sh\n{wrong}\n```\n")))


def test_the_two_lines_open_the_readme() -> None:
    first, second = [parse(words) for words in commands(f"```sh\n{blocks(README, 'sh')[0]}```\n")]
    assert (first, second) == (["setup", "run"], ["setup", "test"])


@pytest.mark.parametrize("name", BOTH)
def test_every_option_that_is_named_exists(name: str) -> None:
    known = {flag for context in tasks.namespace.to_contexts() for flag in context.flags}
    known |= {f"--{word}" for argument in tasks.program.core_args() for word in argument.names}
    named = {re.split(r"[ =]", span)[0] for span in spans(BOTH[name]) if span.startswith("--")}
    assert named
    assert named - known <= FOREIGN


def test_every_task_has_its_row() -> None:
    rows = [name.strip() for row in table("task") for name in row.split(",")]
    assert sorted(rows) == sorted(str(name) for name in tasks.namespace.task_names)


def test_every_shared_option_is_named() -> None:
    assert {f"--{option.name}" for option in OPTIONS} | {"--profile"} <= set(spans(README))


def test_every_profile_key_is_explained_and_no_other() -> None:
    keys = [field.alias or name for name, field in Profile.model_fields.items() if not field.exclude]
    assert sorted(table("key")) == sorted(keys)


@pytest.mark.parametrize("key", ["base", "source", "stage", "timeout"])
def test_the_defaults_that_are_told_are_the_profiles_own(key: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{key}` |"))
    told = row.split("|")[-2].strip().strip("`")
    default = Profile.model_fields[key].default
    if told.startswith(("[", '"')):
        assert tomllib.loads(f"told = {told}")["told"] == (
            list(default) if isinstance(default, tuple) else default
        )
    else:
        assert told == default


def test_the_states_are_all_there_with_their_signs() -> None:
    rows = re.findall(r"^\| `(.)` \| `([a-z-]+)` \|", README, re.MULTILINE)
    assert [(sign, State(state)) for sign, state in rows] == list(SIGNS.items())


def test_the_exit_codes_are_all_there() -> None:
    codes = {cls.exit_code for cls in (KmatrixError, *KmatrixError.__subclasses__())} | {0, 100, 101}
    assert {int(code) for code in table("code")} == codes


def test_the_report_formats_and_the_catalogs_names_are_there() -> None:
    catalog = load_catalog()
    toolchains = {name for name in catalog.toolchains if name.rpartition("-")[2] in {"12", "14", "17", "19"}}
    assert set(FORMATS) | set(profile_names()) | set(catalog.bases) | toolchains <= set(spans(README))


@pytest.mark.parametrize("name", BOTH)
def test_every_variable_of_kmatrix_is_one_that_it_reads(name: str) -> None:
    read = {variable(option.name) for option in OPTIONS} | {"KMATRIX_PROFILE"}
    code = "".join(path.read_text() for path in (*(ROOT / "matrix").rglob("*.py"), ROOT / "tasks.py"))
    read |= set(re.findall(r'environ\.get\("(KMATRIX_\w+)"', code))
    assert set(re.findall(r"KMATRIX_\w+", BOTH[name])) <= read


@pytest.mark.parametrize("name", BOTH)
def test_every_file_that_is_named_is_there(name: str) -> None:
    named = [span for span in spans(BOTH[name]) if _PLACE.fullmatch(span) and span != "vfio.toml"]
    named += re.findall(r"\]\(([^)#]+)", BOTH[name])
    assert named
    assert [place for place in named if "NAME" not in place and not (ROOT / place).exists()] == []


@pytest.mark.parametrize("block", [block for text in BOTH.values() for block in blocks(text, "toml")])
def test_every_toml_example_is_taken(block: str, tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(block)
    catalog = re.match(r"# matrix/catalog/(\w+)\.toml\n", block)
    if catalog:
        for key, row in read_toml(file).items():
            validated(KINDS[catalog[1]], row, {}, default=key)
        return
    given = tomllib.loads(block)
    profile = load_profile(str(file), [] if "arch" in given else [("minimal", MINIMAL)])
    names = {axis: tuple(given.get(f"{axis}s", ())) for axis in ("base", "toolchain")}
    load_catalog().with_profile(profile.model_copy(update={k: v for k, v in names.items() if v}))


@pytest.mark.parametrize("name", BOTH)
def test_prose_is_wrapped_at_a_hundred_columns(name: str) -> None:
    long = [line for line in BOTH[name].splitlines() if len(line) > 100 and not line.startswith("|")]
    assert long == []
