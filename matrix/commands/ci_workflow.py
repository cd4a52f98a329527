"""The workflow of a forge that builds a profile every night, in shards: rendered, and written to a file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from matrix.commands.settings import DEFAULT_PROFILE, GivenSettings, parse_number
from matrix.errors import RequestError, format_nearest
from matrix.shell_words import format_command
from matrix.user_files import check_output_file, expand_user_path, write_user_file

FORGE_LIMITS = {"github": 256, "gitlab": 200}
"""Forge → the jobs that a matrix may have there."""
# By commit, as a tag may be moved: what each commit was called stands behind it.
_ACTIONS = {
    "checkout": "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2",
    "restore": "actions/cache/restore@0057852bfaa89a56745cba8c7296529d2fc39830 # v4.3.0",
    "save": "actions/cache/save@0057852bfaa89a56745cba8c7296529d2fc39830 # v4.3.0",
    "upload": "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2",
    "download": "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093 # v4.3.0",
}
_SCRIPTS = ("guard", "names", "prepare", "week", "plan", "same_images", "shard", "merge")
_MEMORY_MIB = 6 * 1024
"""For the memories of all shards together: GitHub keeps 10 GB, and images and source are in that."""
_LEAST_MEMORY_MIB = 256
_MAX_WORD_LENGTH = 200
_REFUSED_SIGNS = frozenset("$`'\"\\")
"""What means something in an expression of a forge's, or in YAML."""


@dataclass(frozen=True)
class WorkflowRequest:
    """A workflow: whose, of how many shards, and what its inputs are where nothing else is said. ``source``
    and ``known`` may be empty; ``out`` is its file, or None for stdout."""

    forge: str
    shards: int
    profile: str
    source: str = ""
    known: str = ""
    out: Path | None = None

    @property
    def command(self) -> str:
        """What makes it again."""
        options = {"--shards": str(self.shards), "--profile": self.profile}
        options |= {"--source": self.source} if self.source else {}
        options |= {"--known": self.known} if self.known else {}
        return format_command("./inv", "ci", self.forge, *(word for pair in options.items() for word in pair))


def parse_workflow_request(
    forge: str, shards: str, known: str, out: str, given: GivenSettings
) -> WorkflowRequest:
    """RequestError for what no workflow can have."""
    if forge not in FORGE_LIMITS:
        raise RequestError(
            f"there is no workflow for {forge!r}{format_nearest(forge, FORGE_LIMITS)}",
            f"forges: {', '.join(FORGE_LIMITS)}",
        )
    given.build_profile()
    profile, source = given.profile or DEFAULT_PROFILE, (given.options.get("source") or [""])[-1]
    for option, word in (("--profile", profile), ("--source", source), ("--known", known)):
        _check_word(option, word)
    file = expand_user_path(out).absolute() if out else None
    if file is not None:
        check_output_file(file, f"--out {out}")
    return WorkflowRequest(forge, _parse_shards(forge, shards), profile, source, known, file)


def _parse_shards(forge: str, text: str) -> int:
    try:
        shards = parse_number([text])
    except RequestError as error:
        raise RequestError(f"--shards: {error}", "for example --shards 4") from error
    limit = FORGE_LIMITS[forge]
    if not 1 <= shards <= limit:
        raise RequestError(
            f"--shards: expected 1 to {limit}, as {forge} has no more jobs in a matrix, got {shards}",
            "few shards with many cells each are faster",
        )
    return shards


def _check_word(option: str, word: str) -> None:
    """Words come into YAML and into expressions of the forge: those that would mean something are refused."""
    refused = sorted(_REFUSED_SIGNS & {*word})
    if refused or not word.isprintable():
        sign = refused[0] if refused else next(sign for sign in word if not sign.isprintable())
        raise RequestError(f"{option} {word!r} cannot stand in a workflow: it has {sign!r}", "rename it")
    if len(word) > _MAX_WORD_LENGTH:
        raise RequestError(f"{option} has more than {_MAX_WORD_LENGTH} characters", "rename it")
    if Path(word).is_absolute():
        raise RequestError(
            f"{option} {word} is a place on this machine, and the forge's has another",
            "name a file of the repository",
        )


def render_workflow(request: WorkflowRequest) -> str:
    """The workflow as YAML."""
    values: Mapping[str, object] = {
        "command": request.command,
        "profile": request.profile,
        "source": request.source,
        "known": request.known,
        "shards": request.shards,
        "shard_numbers": ", ".join(map(str, range(1, request.shards + 1))),
        "cache_size": f"{max(_LEAST_MEMORY_MIB, _MEMORY_MIB // request.shards)}M",
        "actions": _ACTIONS,
        "scripts": {name: _load_template(f"ci_{name}.sh.j2").render() for name in _SCRIPTS},
    }
    return _load_template(f"ci_{request.forge}.yml.j2").render(values)


def write_workflow(request: WorkflowRequest) -> None:
    """Write it to the file that was asked for, whole or not at all."""
    if request.out is not None:
        write_user_file(request.out, render_workflow(request))


@cache
def _load_template(name: str) -> jinja2.Template:
    # Expressions of GitHub's and shells' are full of braces.
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        variable_start_string="@{",
        variable_end_string="}@",
        block_start_string="@%",
        block_end_string="%@",
        comment_start_string="@#",
        comment_end_string="#@",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - YAML, in which each word is quoted
    )
    pages.filters["yaml"] = json.dumps
    pages.filters["expression"] = _quote_expression
    pages.filters["indented"] = _indent_script
    return pages.get_template(name)


def _quote_expression(word: str) -> str:
    """A word as a string in an expression of GitHub's."""
    return "'" + word.replace("'", "''") + "'"


def _indent_script(script: str, width: int) -> str:
    return "\n".join(f"{'':{width}}{line}" if line else "" for line in script.rstrip("\n").split("\n"))
