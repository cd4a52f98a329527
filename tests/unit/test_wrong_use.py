"""Wrong use, as a table: what is typed, the exit code, the sentence, and the way out.

Every row runs on the command line as a user meets it, in one small world whose engine is in memory. None of
them is a bug, none writes anything, and none lets a terminal be controlled.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import tasks
from matrix.catalog.load import load_profile
from matrix.commands import doctor, session, setup, sweep
from matrix.engine.docker_engine import connect_docker
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.engine.protocol import Engine
from tests.fakes.engine import FakeEngine
from tests.fakes.foreign_builds import keep_build, keep_plain_build
from tests.fakes.kernel import Kernel, Made, Symbol
from tests.fakes.runs import the_story
from tests.fakes.small_tree import SMALL_PROFILE, small_tree

Said = pytest.CaptureFixture[str]
LONG, DEEP = "n" * 300, "/".join(["d" * 200] * 25)
ESCAPE = "\x1b[31mred"
LATIN = "\udcff"
"""A byte that is no UTF-8, as Python has it in a word of the command line."""
CELL = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
KNOWN = """\
[one]
keys = ["a"]
reason = "slow"
link = "https://example.org/1"
expires = 2030-01-01
"""


class Row(NamedTuple):
    """``says`` and ``hint`` are searched in the first line of stderr, and in all below it."""

    words: str | tuple[str, ...]
    says: str
    hint: str = ""
    code: int = 1
    environment: Mapping[str, str] = {}

    @property
    def argv(self) -> list[str]:
        return self.words.split() if isinstance(self.words, str) else list(self.words)


def at(option: str, value: str) -> tuple[str, ...]:
    """`plan`, which builds nothing, with one option more."""
    return ("plan", "--profile", "ok.toml", f"{option}={value}")


def profile(name: str) -> str:
    return f"plan --profile {name}"


NO_SUCH_RUN = "there is no run"
MAKES_ONE = r"\./inv run makes one"
MAKES_ANOTHER = r"\./inv run makes another"
READS = "check the path, and what you may read of it"

PROGRAM = [
    Row("nosuch", "there is no task 'nosuch'", r"--list shows the tasks"),
    Row("rnu", r"there is no task 'rnu' \(nearest: 'run'\)", "--list"),
    Row("plan rport", r"no task 'rport' \(nearest: 'report'\)", "--list"),
    Row((ESCAPE,), r"no task '\\x1b\[31mred'", "--list"),
    Row(("a\nkmatrix: all is well",), r"no task 'a\\nkmatrix: all is well'", "--list"),
    Row((LATIN,), r"no task '\\udcff'", "--list"),
    Row("--nosuch", "no option '--nosuch' before a task", "stands after its task"),
    Row(("--" + ESCAPE,), r"no option '--\\x1b\[31mred'", "stands after"),
    Row("--arch x86 run", "no option '--arch' before a task", "stands after"),
    Row("--help nosuch", "no task 'nosuch'", "--list"),
    Row("--help rnu", r"no task 'rnu' \(nearest: 'run'\)", "--list"),
    Row("--list nosuch", "--list takes no name", r"TASK --help"),
    Row("--debug plan", "--debug is an option of Invoke's that means nothing here", "--help shows"),
    Row("-D x plan", "--list-depth is an option of Invoke's", "--help shows"),
    Row("-f nosuch plan", "--config is an option of Invoke's", "--help shows"),
    Row("plan --dry", "--dry is an option of Invoke's", "--help shows"),
    Row("-T soon plan", "--command-timeout is an option of Invoke's", "--help shows"),
    Row("--print-completion-script", "--print-completion-script needs a value", "--help"),
    Row(("--print-completion-script", ESCAPE), 'shell "red" not supported', "--help"),
]
OPTIONS = [
    Row("plan --arhc x86", r"plan has no option '--arhc' \(nearest: '--arch'\)", "plan --help shows"),
    Row("plan --out", "--out needs a value", "plan --help shows"),
    Row("plan --json=yes", "--json takes no value, and 'yes' stands behind it", "leave the value out"),
    Row("run --fail-fast=maybe", "--fail-fast takes no value, and 'maybe'", "leave the value out"),
    Row("plan", "KMATRIX_FAIL_FAST: expected yes or no, got 'maybe'", "", 1, {"KMATRIX_FAIL_FAST": "maybe"}),
    Row("plan", "there is no profile ''", "built-in profiles: kvm-vfio, quick", 1, {"KMATRIX_PROFILE": ""}),
    *(
        Row(at("--jobs", value), f"--jobs: expected a whole number, got {re.escape(repr(value))}")
        for value in ("x", "", "1.5", "1e3", "0x10", "1_000", "+3", " 3", "３", "٣", "inf", "nan")
    ),
    Row(at("--jobs", "9" * 5000), "--jobs: expected a whole number, got '9"),
    Row(at("--jobs", "0"), "greater than or equal to 1, got 0"),
    Row(at("--lanes", "-1"), "greater than or equal to 1, got -1"),
    *(
        Row(at("--memory", value), "--memory: memory: expected a size such as 4G")
        for value in ("", "0", "-1", "4GG", "4 G", "４G", "lots", "9" * 5000)
    ),
    *(
        Row(at("--cache-size", value), "--cache-size: cache-size: expected a size such as 4G")
        for value in ("", "0", "-1", "10GB", "1.5G", "lots", "9" * 5000)
    ),
    *(
        Row(at("--cache-size", value), "--cache-size: cache-size: expected a size from 64M to 1024T")
        for value in ("1", "63M", "2048T")
    ),
    Row("sweep", "KMATRIX_CACHE_SIZE: cache-size: expected a size", "", 1, {"KMATRIX_CACHE_SIZE": "x"}),
    Row("doctor --cache-size=0", "--cache-size: cache-size: expected a size such as 4G"),
    *(
        Row(at("--timeout", value), "--timeout: timeout: expected a duration such as 30m")
        for value in ("0", "-5m", "5 m", "５m", "1e3", "inf", "m", "9" * 5000)
    ),
    Row(at("--deadline", ""), "--deadline: deadline: expected a duration"),
    Row(at("--deadline", "9" * 400 + "d"), "--deadline: deadline: expected a duration"),
    Row(at("--make", "W"), "--make: expected VAR=VALUE, got 'W'", "for example --make W=1"),
    Row(at("--make", "=1"), "--make: expected VAR=VALUE", "for example"),
    Row(at("--make", "9=1"), "expected the name of a make variable, got '9'"),
    Row(at("--make", "Ä=1"), "expected the name of a make variable"),
    Row(at("--make", "A\n=1"), "--make: make.A", "expected the name of a make variable"),
    Row(at("--make", "A=1\n2"), r"expected one line, got '1\\n2'"),
    Row(at("--make", "O=/tmp"), "O is kmatrix's own to set"),
    Row(at("--stage", "vmlinuz"), "'focus', 'vmlinux' or 'modules', got 'vmlinuz'"),
    Row(at("--arch", ","), "an empty axis selects nothing"),
    Row(at("--arch", "x86,x86"), "names 'x86' twice"),
    Row(at("--arch", "x68"), r"unknown arch 'x68' \(nearest: 'x86'\)", "arm64, powerpc"),
    Row(at("--arch", ESCAPE), r"unknown arch '\\x1b\[31mred'", "the arch names are"),
    Row(at("--arch", LATIN), r"--arch: '\\udcff' is no UTF-8", "rename it"),
    Row(at("--toolchain", "gcc"), r"unknown toolchain 'gcc' \(nearest", "the toolchain names are"),
    Row(at("--select", ""), "--select: is empty", "leave it out"),
    Row(at("--select", "!"), "--select '' matches no request", "plan shows the ids"),
    Row(at("--select", "KVM=y"), "there is no axis KVM", "axes: VFIO, arch"),
    Row(at("--select", "VFIO=z"), "--select 'VFIO=z' matches no request", "plan shows the ids"),
    Row(at("--select", "!*"), "--select leaves no request", "plan shows the ids"),
    Row(at("--select", f"VFIO={ESCAPE}"), r"'VFIO=\\x1b\[31mred' matches no request", "plan shows"),
    Row(at("--select", "x" * 5000), "matches no request$", "plan shows"),
]
SOURCES = [
    Row(at("--source", ""), "--source: is empty", "leave it out"),
    Row(
        at("--source", "nosuch"), "no source 'nosuch': there is no such directory or file", "A source is DIR"
    ),
    Row(at("--source", "http://example.org/x.tar"), "no source 'http", "A source is DIR"),
    Row(at("--source", "~nosuchuser/linux"), "no such user here", "write the whole path"),
    Row(at("--source", "~nosuchuser/linux@v6"), "no such user here", "write the whole path"),
    Row(at("--source", LONG), "cannot be read: File name too long$", READS),
    Row(at("--source", DEEP), "cannot be read: File name too long$", READS),
    Row(at("--source", f"{LONG}@HEAD"), "cannot be read: File name too long$", READS),
    Row(at("--source", "loop"), "the source loop cannot be read: Too many levels", READS),
    Row(at("--source", "file/below"), "no source 'file/below'", "A source is DIR"),
    Row(at("--source", "empty"), "empty is not a kernel tree", "top directory"),
    Row(at("--source", LATIN), "is no UTF-8", "rename it"),
    Row(at("--source", "debian:linux"), "names no package with a kernel's source", "linux-source-VERSION"),
    Row(at("--source", "debian:linux-source-6.12=;x"), "names no package", "linux-source-VERSION"),
    Row(at("--source", "tree@"), "no source 'tree@'", "A source is DIR"),
    Row(at("--source", "tree@nosuch"), "tree"),
    Row(at("--source", f"tree@{ESCAPE}"), "tree"),
]
PATCHES = [
    Row(at("--patch", ""), "--patch: is empty", "leave it out"),
    Row(at("--patch", "nosuch"), "the patch nosuch cannot be read: No such file", "Check the path"),
    Row(at("--patch", "~nosuchuser/x"), "no such user here", "write the whole path"),
    Row(at("--patch", LONG), "cannot be read: File name too long$", READS),
    Row(at("--patch", "loop"), "cannot be read: Too many levels", READS),
    Row(at("--patch", "blank"), "blank holds no diff", "git format-patch"),
    Row(at("--patch", "binary"), "holds no diff", "git format-patch"),
    Row(at("--patch", "empty"), "the directory empty holds no patch", "git format-patch -o empty"),
    Row(at("--patch", "-"), "can be read only once", "Write it to a file"),
    Row("patch", "patch needs 'file'", "patch --help"),
    Row(("patch", ""), "file is empty", "leave it out"),
    Row("patch nosuch", "the patch nosuch cannot be read", "Check the path"),
    Row("patch file", "holds no diff", "git format-patch"),
    Row("run --profile ok.toml --format junit=nosuch/j.xml", "there is no directory", "mkdir -p"),
    Row("run --profile ok.toml --format xml", "no report format 'xml'", "formats: terminal"),
    Row("patch fix.patch --profile ok.toml --format junit=nosuch/j.xml", "there is no directory", "mkdir -p"),
    Row("patch nosuch --format xml", r"no report format 'xml' \(nearest", "formats: terminal"),
    Row("patch file --message x", "holds no mail with the id 'x'"),
    Row("patch fix.patch --profile nosuch.toml", "nosuch.toml: cannot be read", READS),
    Row("patch fix.patch --patch x", "patch has no option '--patch'", "patch --help"),
    Row("patch fix.patch --profile ok.toml --before nosuch", "the patch nosuch cannot be read"),
    Row("patch fix.patch --profile ok.toml --out dir", "--out .*/dir is in use", "does not exist yet"),
    Row(("patch", f"~nosuchuser/{ESCAPE}"), "~nosuchuser/red: there is no such user", "whole path"),
]
PROFILES = [
    Row("plan --profile nosuch", "there is no profile 'nosuch'", "or name a TOML file"),
    Row("plan --profile QUICK", "there is no profile 'QUICK'", "built-in profiles"),
    Row("plan --profile ./nosuch.toml", "nosuch.toml: cannot be read: No such file", READS),
    Row("plan --profile ~nosuchuser/x.toml", "no such user here", "write the whole path"),
    Row(f"plan --profile {LONG}.toml", "cannot be read: File name too long$", READS),
    Row("plan --profile file/x.toml", "cannot be read: Not a directory", READS),
    Row("plan --profile loop.toml", "cannot be read: Too many levels", READS),
    Row("plan --profile dir.toml", "cannot be read: Is a directory", READS),
    Row("plan --profile zero.toml", "cannot be read: it has more than 64 MiB", READS),
    Row(("plan", "--profile", f"{ESCAPE}.toml"), "red.toml: cannot be read", READS),
    Row(
        ("plan", "--profile", "a\nkmatrix: all is well.toml"),
        "kmatrix: a",
        "all is well.toml: cannot be read",
    ),
    Row(profile("deep.toml"), "not valid TOML: it is nested too deep"),
    Row(profile("digits.toml"), "not valid TOML: Exceeds the limit"),
]
# What stands in a file that is called as the row's profile.
TEXTS: dict[str, tuple[bytes, str]] = {
    "broken": (b"arch = [", "not valid TOML: "),
    "latin": (b"# \xff", "not valid TOML: "),
    "utf16": (SMALL_PROFILE.encode("utf-16"), "not valid TOML: "),
    "nul": (b"arch = '\0'", "not valid TOML: "),
    "blank": (b"", "arch: this key is needed"),
    "twice": (
        SMALL_PROFILE.replace("[symbols]", "arch = ['x86']").encode(),
        "not valid TOML: Cannot overwrite",
    ),
    "unknown": (b"shiny = 1\n" + SMALL_PROFILE.encode(), "shiny: unknown key"),
    "near": (b"job = 1\n" + SMALL_PROFILE.encode(), r"job: unknown key \(nearest: 'jobs'\)"),
    "named": (b"profile = 'x'\n" + SMALL_PROFILE.encode(), "a profile is named by its file"),
    "symbol": (SMALL_PROFILE.replace("VFIO", "'A B'").encode(), "symbols"),
    "value": (SMALL_PROFILE.replace('"y"', '"a\\nb"').encode(), "symbols.VFIO"),
    "none": (SMALL_PROFILE.replace('["n", "y"]', "[]").encode(), "symbols.VFIO: an empty axis"),
    "double": (SMALL_PROFILE.replace('["n", "y"]', '["y", "y"]').encode(), "symbols.VFIO: names 'y' twice"),
    "fixed": (b"fixed = { VFIO = 'y' }\n" + SMALL_PROFILE.encode(), "VFIO cannot be both an axis and fixed"),
    "nofocus": (SMALL_PROFILE.replace('["drivers/vfio/"]', "[]").encode(), "stage focus needs a focus"),
    "nulpatch": (b'patch = ["\\u0000"]\n' + SMALL_PROFILE.encode(), "is no path: it has a NUL in it"),
    "nulmake": (b'make = { W = "\\u0000" }\n' + SMALL_PROFILE.encode(), r"make.W: expected one line"),
}
WRONG_TYPES = {
    "arch": "1",
    "toolchain": "'gcc-14'",
    "base": "{}",
    "symbols": "[]",
    "fixed": "['x']",
    "focus": "true",
    "select": "[1]",
    "source": "['tree']",
    "patch": "1979-05-27",
    "stage": "3",
    "make": "{ W = 1 }",
    "jobs": "'2'",
    "lanes": "1.5",
    "memory": "4",
    "timeout": "07:32:00",
    "deadline": "false",
    "cache-size": "10",
    "images": "[]",
    "fail-fast": "'no'",
    "werror": "1",
    "fresh": "1",
    "verify": "0.5",
    "ccache": "'yes'",
    "out": "[]",
    "bases": "3",
    "toolchains": "'x'",
    "knobs": "1",
    "description": "{}",
}
BASES = {
    "[bases.m]\nfile = 'nosuch'": "the base's file .*nosuch cannot be read: No such file",
    "[bases.m]\nfile = 'empty'": "cannot be read: Is a directory",
    "[bases.m]\nfile = 'binary'": "is no text",
    f"[bases.m]\nfile = '{LONG}'": "cannot be read: File name too long",
    '[bases.m]\nfile = "a\\u0000b"': "is no path: it has a NUL in it",
    "[bases.m]\nfile = '/dev/zero'": "cannot be read: it has more than 64 MiB",
    "[bases.m]\ntarget = '--help'": "expected a make target such as defconfig, got '--help'",
    "[bases.m]\ntarget = 'a b'": "expected a make target",
    "[bases.m]\ntarget = 'randconfig'": "randconfig needs a seed",
    "[bases.m]\ntarget = 'defconfig'\nfile = 'x'": "expected either target or file",
    "[bases.m]\ntarget = 'defconfig'\nfragment = ['nosuch']": "the base's file .*nosuch cannot be read",
    "[bases.m]\ntarget = 'defconfig'\narch.x68 = 'defconfig'": "unknown arch 'x68'",
    "[bases.m]\ntarget = 'defconfig'\nshiny = 1": "bases.m.shiny: unknown key",
    "[bases.n]\ntarget = 'defconfig'": "unknown base 'm'",
}
OUTPUTS = [
    Row("run --profile ok.toml --out=", "--out: is empty", "leave it out"),
    Row("run --profile ok.toml --out dir", "--out .*/dir is in use: it is not empty", "does not exist yet"),
    Row("run --profile ok.toml --out file", "--out .*/file cannot be written: Not a directory"),
    Row("run --profile ok.toml --out file/below", "below cannot be written: Not a directory", "may write"),
    Row("run --profile ok.toml --out ~nosuchuser/x", "no such user here", "write the whole path"),
    Row(f"run --profile ok.toml --out {LONG}", "cannot be written: File name too long"),
    Row("run --profile ok.toml --out loop", "loop cannot be written: it is a link to nothing", "may write"),
    Row("run --profile ok.toml --out dangling", "dangling cannot be written: it is a link", "may write"),
    Row(("run", "--profile", "ok.toml", "--out", LATIN), r"'\\udcff' is no UTF-8", "rename it"),
]
BASELINES = [
    Row("run --resume", "--resume needs a value", "run --help shows"),
    Row("run --resume=", "--resume is empty", "leave it out"),
    Row("run --resume nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("run --resume latest", NO_SUCH_RUN, MAKES_ONE),
    Row("run --resume empty", NO_SUCH_RUN, MAKES_ONE),
    Row("run --resume damaged", "run.json is damaged", MAKES_ANOTHER),
    Row(f"run --resume {LONG}", "cannot be read: File name too long$", READS),
    Row(("run", "--resume", ESCAPE), r"there is no run '\\x1b\[31mred'", MAKES_ONE),
    Row("run --resume a-run", "cannot be resumed: kmatrix is .*, and was", r"\./inv run, without --resume"),
    Row("patch --resume", "--resume needs a value", "patch --help shows"),
    Row("patch --resume=", "--resume is empty", "leave it out"),
    Row("patch --resume nosuch", "there is no verdict 'nosuch'", r"\./inv patch makes another"),
    Row("patch --resume a-run", "a-run is a run, not a verdict", r"\./inv run --resume a-run goes on"),
    Row(f"patch --resume {LONG}", "cannot be read: File name too long$", READS),
    Row(("patch", "--resume", ESCAPE), r"there is no verdict '\\x1b\[31mred'", "makes another"),
    Row("patch --resume nosuch --message x", "patch needs 'file'", "patch --help"),
    Row("patch fix.patch file", "patch takes one file, and 'file' stands behind 'fix.patch'", "a series"),
    Row("patch --resume asked", "asked/request.json is damaged", r"\./inv patch makes another"),
    Row("run --resume asked", "asked is a verdict, not a run", r"\./inv patch --resume asked"),
    Row("run --baseline=", "--baseline is empty", "leave it out"),
    Row("run --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("run --baseline damaged", "run.json is damaged", MAKES_ANOTHER),
    Row(f"run --baseline {LONG}", "cannot be read: File name too long$", READS),
    Row("run --known=", "--known is empty", "leave it out"),
    Row("run --known nosuch", "nosuch: cannot be read: No such file", READS),
    Row("run --known dir", "dir: cannot be read: Is a directory", READS),
    Row("run --known ~nosuchuser/x", "no such user here", "whole path"),
    Row("run --known loose.toml", "loose.toml: one: .*this key is needed"),
    Row("run --known soon.toml", "soon.toml: one: expires: input should be a valid date, got 'soon'"),
    Row("run --known never.toml", "not valid TOML"),
    Row("run --known script.toml", r"link: expected a link \(https"),
    Row("run --known silent.toml", "reason: is empty"),
    Row("run --known shared.toml", "two: keys: 'a' is one's already"),
]
RUNS = [
    Row("report --run nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("report --run=", NO_SUCH_RUN, MAKES_ONE),
    Row("report --run file", NO_SUCH_RUN, MAKES_ONE),
    Row("report --run empty", NO_SUCH_RUN, MAKES_ONE),
    Row("report --run /", NO_SUCH_RUN, MAKES_ONE),
    Row(f"report --run {LONG}", "cannot be read: File name too long$", READS),
    Row(f"report --run {DEEP}", "cannot be read: File name too long$", READS),
    Row("report --run loop", "the run loop cannot be read: Too many levels", READS),
    Row("report --run ~nosuchuser/x", "no such user here", "whole path"),
    Row(("report", "--run", ESCAPE), r"no run '\\x1b\[31mred'", MAKES_ONE),
    Row("report --run damaged", "damaged/run.json is damaged", MAKES_ANOTHER),
    Row("report --run deep", "deep/run.json is damaged: maximum recursion depth", MAKES_ANOTHER),
    Row("report --run halved", "halved/run.json is damaged", MAKES_ANOTHER),
    Row("report --run future", "has schema 2; this kmatrix reads schema 1", "that made it"),
    Row("report --run folder", "folder cannot be read: 'run.json' is a directory", MAKES_ANOTHER),
    Row("explain --run verdict", "verdict is no run, but holds 2: before, after", "name one:"),
    Row("report --run verdict", "verdict.json is damaged", r"\./inv patch makes another"),
    Row("report --run a-run extra", "there is no task 'extra'", "--list"),
    Row("report --run a-run --format htm", r"no report format 'htm' \(nearest: 'html'\)", "formats:"),
    Row("report --run a-run --baseline=", "--baseline is empty", "leave it out"),
    Row("report --run a-run --format junit --format html", "would both go to stdout", "=FILE"),
    Row("report --run a-run --format patchwork", "is on a patch, and this is a run", "./inv patch makes"),
    Row("run --profile ok.toml --format patchwork=x", "is on a patch, and this is a run", "./inv compare"),
    Row("report --run a-run --report-url x", "--report-url: 'x' is no address of a page", "https://HOST"),
    Row("report --run a-run --format junit=", "junit= names no file", "--format junit=FILE"),
    Row("report --run a-run --format junit=nosuch/j.xml", "there is no directory", "mkdir -p"),
    Row("report --run a-run --format junit=runs/a-run/run.json", "a file of the run's record", "another"),
    Row("report --run a-run --format mail --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("history --run nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("history --run damaged", "damaged/run.json is damaged", MAKES_ANOTHER),
    Row("history --run verdict", "verdict is no run, but holds 2: before, after", "name one:"),
    Row("history --run a-run --format htm", r"no format 'htm' of a history \(nearest: 'html'\)", "formats:"),
    Row("report --run a-run --single-file", "for pages, not for the format terminal", "add --format html"),
    *(
        Row(f"watch --profile ok.toml {words}", says, hint)
        for words, says, hint in (
            ("", "only a branch can be watched, and the source is tree", "--source /srv/linux@origin/master"),
            ("--source debian:linux-source-6.12", "only a branch can be watched", "DIR@BRANCH"),
            ("--source gone@master", "no source 'gone@master'", "A source is DIR"),
            ("--source tree@x --every often", "--every: expected a duration", "--every 1h"),
            ("--source tree@x --every 9999d", "--every: expected a duration of at most", "--every 1h"),
            ("--source tree@x --fetch=--all", "--fetch '--all' names no remote", "--fetch origin"),
            ("--source tree@x --known gone.toml", "gone.toml", ""),
            ("--source tree@x --mail-to tree", "is neither a file nor a program", "mailbox's file"),
            ("--source tree@x --mail-to gone/box", "there is no directory", "make it"),
            ("--source tree@x --out there", "watch has no option '--out'", "watch --help"),
        )
    ),
    Row(
        ("watch", "--profile", "ok.toml", "--source", "tree@x", "--mail-to", "nosuch you@example.org"),
        "there is no program 'nosuch' here",
        "with its arguments",
    ),
    Row("ci", "ci needs 'forge'", "ci --help"),
    Row("ci giithub", r"there is no workflow for 'giithub' \(nearest: 'github'\)", "forges: github, gitlab"),
    Row("ci github --shards 257", "--shards: expected 1 to 256, as github has no more jobs", "few shards"),
    Row("ci gitlab --shards 201", "--shards: expected 1 to 200, as gitlab has no more jobs", "few shards"),
    Row("ci github --shards four", "--shards: expected a whole number, got 'four'", "--shards 4"),
    Row("ci github --known /srv/known.toml", "is a place on this machine", "a file of the repository"),
    Row(("ci", "github", "--source", "${{ github.token }}"), r"it has '\$'", "rename it"),
    Row("ci github --profile nosuch", "there is no profile 'nosuch'", "built-in profiles"),
    Row("ci github --out gone/a.yml", "there is no directory", "mkdir -p"),
    Row(
        "images --profile ok.toml --save a --load b",
        "--save and --load cannot go together",
        "load them first",
    ),
    Row(
        "images --profile ok.toml --load a --push localhost:5000/a",
        "--load and --push cannot go together",
        "load them first",
    ),
    *(
        row
        for value in (
            "team",
            "team/a",
            "localhost:5000",
            "http://r.example/a",
            "r.example/A",
            "r.example/a:1",
            "r.example/",
        )
        for row in (
            Row(at("--images", value), "--images: images: expected REGISTRY/PREFIX such as"),
            Row(
                ("images", "--profile", "ok.toml", "--push", value),
                "--push: expected REGISTRY/PREFIX",
                "--push localhost",
            ),
        )
    ),
    Row(at("--images", ""), "--images: is empty", "leave it out"),
    Row("doctor", "KMATRIX_IMAGES: images: expected REGISTRY/PREFIX", "", 1, {"KMATRIX_IMAGES": "x"}),
    Row("images --profile ok.toml --load gone", "cannot be read: No such file", "check the path"),
    Row("images --profile ok.toml --load ok.toml", "ok.toml holds no images", "--save FILE writes"),
    Row("compare", "compare needs 'before' and 'after'", "compare --help"),
    Row("compare a-run", "compare needs 'after'", "compare --help"),
    Row(("compare", "a-run", ""), "after is empty", "leave it out"),
    Row("compare a-run nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("compare a-run verdict", "is no run, but holds 2: before, after", "name one:"),
    Row("compare a-run a-run --format xml", "no report format 'xml'", "formats:"),
    Row("compare a-run a-run --fixes F9", "has no finding 'F9'", "shows them"),
    Row("compare a-run other", "have no cell in common", "share axes and values"),
]
FINDINGS = [
    Row("submit a-run", "submit needs an origin", "--origin NAME"),
    Row("submit a-run --origin Up", "--origin: expected small letters, digits and _, got 'Up'", "KernelCI"),
    Row("submit a-run --origin x", "submit needs the address of a server", "--url https://HOST"),
    Row("submit a-run --origin x --url http://example.org", "in the clear", "write https://"),
    Row("submit a-run --origin x --url https://t@example.org", "a name or a token in it", "--token-file"),
    Row("submit a-run --origin x --url https://example.org", "submit needs a token", "--token-file FILE"),
    Row("submit nosuch --origin x --dry-run", NO_SUCH_RUN, MAKES_ONE),
    Row("submit verdict --origin x --dry-run", "verdict.json is damaged", r"\./inv patch makes another"),
    Row("diagnose", "diagnose needs a log", "name the log of a build"),
    Row("diagnose nosuch", "nosuch cannot be read: there is no such file", "or - for stdin"),
    Row("diagnose dir", "dir is a directory", "name the log of a build"),
    Row("diagnose binary", "binary is no text", "as text or gzip"),
    Row("diagnose file/x", "there is no such file", "name the log of a build"),
    Row("diagnose ~nosuchuser/x", "no such user here", "whole path"),
    Row("diagnose file --fails --succeeds", "--fails and --succeeds exclude each other", "one of both"),
    Row("diagnose file --json --github", "--json and --github exclude each other", "one of them"),
    Row("diagnose - -", "- is named twice", "name it once"),
    Row("diagnose file --build-root=", "--build-root is empty", "leave it out"),
    Row(("diagnose", ""), "is empty", "leave it out"),
    Row(("diagnose", ESCAPE), "there is no such file", "name the log of a build"),
    Row(("diagnose", LONG), "File name too long", "what you may read"),
    Row("explain --run nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("explain --run a-run --finding F9", r"has no finding 'F9' \(it has F1\)", "shows them"),
    Row("explain --run a-run --finding=", "--finding is empty", "leave it out"),
    Row(("explain", "--run", "a-run", "--finding", ESCAPE), r"no finding '\\x1b\[31mred'", "shows them"),
    Row("explain --run a-run --config nosuch", "--config nosuch cannot be read: No such", "name a .config"),
    Row("explain --run a-run --config dir", "--config dir cannot be read: Is a directory", "name a .config"),
    Row("explain --run a-run --config ~nosuchuser/x", "no such user here", "whole path"),
    Row("explain --run a-run --config blank", "sets no symbol", "build directory"),
    Row("explain --run a-run --config binary", "is no text", "unpack it first"),
    Row("explain --run a-run --config file", "line 1 is no line of a .config", "expected CONFIG_NAME"),
    Row("explain --run a-run --config /dev/zero", "it has more than 64 MiB", "name a .config"),
    Row("explain --run a-run --config noarch.config", "does not say which arch", "olddefconfig"),
    Row("explain --run a-run --toolchain gcc-14", "--toolchain needs a .config", "add --config FILE"),
    Row("explain --run a-run --out x", "--out needs a .config", "add --config FILE"),
    Row("explain --run a-run --config my.config --toolchain gcc", "not seen with gcc", "it was with"),
    Row("explain --run a-run --config my.config --out file", "--out file is there already", "does not exist"),
    Row(f"explain --run a-run --config my.config --out {LONG}", "File name too long$", READS),
    Row("repro --run nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("repro --run a-run --finding F9", "no finding 'F9'", "shows them"),
    Row("repro --run a-run --cell nosuch", "has no cell 'nosuch'", "its report names the cells"),
    Row("repro --run a-run --cell=", "--cell is empty", "leave it out"),
    Row("repro --run a-run --toolchain gcc-99", "was not seen with gcc-99", "it was with"),
    Row("repro --run cellless", "has no finding to take", "its report says"),
    Row("repro --run toolless", "lacks its toolchain gcc-14", MAKES_ANOTHER),
    Row("shell", "shell needs 'cell'", "shell --help"),
    Row(("shell", ""), "cell is empty", "leave it out"),
    Row("shell nosuch --run a-run", "has no cell 'nosuch'", "its report names the cells"),
    Row(f"shell {CELL.replace('gcc-14', 'gcc14')} --run a-run", f"nearest: '{CELL}'", "its report"),
    Row(f"shell {CELL} --run a-run", "cannot be read: it is missing", MAKES_ANOTHER),
]
IMPORTS = [
    Row("import", "import needs 'dir'", "import --help"),
    Row(("import", ""), "dir is empty", "leave it out"),
    Row("import --dirs x", "import has no option '--dirs'", "import --help"),
    Row("import nosuch", "nosuch is no build: it cannot be read: No such file", "directories of builds"),
    Row("import file", "file is no build: it cannot be read: Not a directory", "directories of builds"),
    Row("import loop", "loop is no build: it cannot be read: Too many levels", "directories of builds"),
    Row(f"import {LONG}", "is no build: it cannot be read: File name too long$", "directories of builds"),
    Row(("import", f"./{ESCAPE}"), "red is no build: it cannot be read: No such file", "directories"),
    Row(("import", LATIN), r"'\\udcff' is no UTF-8", "rename it"),
    Row("import ~nosuchuser/x", "no such user here", "whole path"),
    Row(
        "import empty",
        r"empty is no build: it has no log \(build.log,.*no .config \(config,",
        "a build's log",
    ),
    Row("import dir", "dir is no build: it has no .config .*; it has 'thesis.txt'", "a build's log"),
    Row("import linked", "'config' is a link or lies behind one", "read as they are", 2),
    Row("import garbled", "garbled is no build: 'config': line 1 is no line of a .config", "CONFIG_NAME"),
    Row("import build build", "build is named twice", "each build once"),
    Row("import build --symbols=", "--symbols is empty", "leave it out"),
    Row("import build --symbols CONFIG_VFIO", "has the prefix CONFIG_", "write VFIO"),
    Row("import build --symbols VFOI", r"no .config of these builds has it \(nearest: 'VFIO'\)", "CONFIG_"),
    Row("import build --tree empty", "--tree empty is no kernel tree", "top directory"),
    Row("import build --tree=", "--tree is empty", "leave it out"),
    Row("import build --out dir", "--out .*/dir is in use: it is not empty", "does not exist yet"),
    Row("import build --out=", "--out is empty", "leave it out"),
]
BENCHES = [
    Row("bench --case frist", r"--case: there is no 'frist' \(nearest: 'first'\)", "it takes first, again"),
    Row(
        "bench --case first,",
        "tuxmake is not installed",
        "or leave it out: --against",
        1,
        {"PATH": "/nosuch"},
    ),
    Row(("bench", "--case", ESCAPE), r"--case: there is no '\\x1b\[31mred'", "it takes first"),
    Row("bench --against make", "--against: there is no 'make'", "it takes tuxmake, fresh, kept"),
    Row("bench --case next", "the case next needs another version of the tree", "name it: --next SPEC"),
    Row("bench --next=", "--next is empty", "leave it out"),
    Row("bench --next nosuch", "no source 'nosuch'", "A source is DIR"),
    *(
        Row(f"bench --{option}={value}", f"--{option}: expected a {says}")
        for option, value, says in (
            ("repeat", "0", "number from 1 to 100, got 0"),
            ("repeat", "101", "number from 1 to 100, got 101"),
            ("repeat", "x", "whole number, got 'x'"),
            ("sample", "-1", "number from 0 to 1000000, got -1"),
            ("sample", "1.5", "whole number, got '1.5'"),
        )
    ),
    Row("bench --repeat=", "--repeat: expected a whole number, got ''"),
    Row("bench --format html", "no format 'html' of a bench's table", "formats: text, markdown"),
    *(
        Row(f"bench --{words}", f"bench has no option '--{words.split()[0]}'", "bench --help")
        for words in ("patch fix.patch", "fresh", "deadline 2h", "verify 0.1")
    ),
    Row("bench --case first --next debian:linux-source-6.13", "--next is for the case next", "--case next"),
    Row("bench --against fresh --profile nosuch.toml", "nosuch.toml: cannot be read", READS),
    Row("bench --against fresh --profile ok.toml --out dir", "--out .*/dir is in use", "does not exist yet"),
    Row("bench --against fresh --profile ok.toml --case first --source nosuch", "no source 'nosuch'"),
    Row("bench first", "no task 'first'", "--list"),
]
SHARDS = [
    *(
        Row(("run", f"--shard={text}"), r"--shard: expected I/N, .*, got '", "for example --shard 2/4")
        for text in ("0/4", "5/4", "a/b", "1", "/", "1/", "1/0", "-1/4", "1/2/3", "1.5/2", ESCAPE, LATIN)
    ),
    Row("worker http://x", "'http://x' is no address of a cluster", "tls://build1:8786"),
    Row("worker tcp://10.0.0.1:8786", "is open to others", "use tls://"),
    Row("worker tls://a:1", "--tls-ca is missing", "--tls-cert FILE"),
    Row("worker tcp://127.0.0.1:1 --tls-ca x", "is reached without TLS", "leave the certificates out"),
    Row("worker tcp://127.0.0.1:1 --lanes 0", "--lanes: expected 1 to", "--lanes 4"),
    Row("worker tcp://127.0.0.1:1 --cpus x", "--cpus: expected a whole number", "--cpus 4"),
    Row("worker tcp://127.0.0.1:1 --memory x", "--memory: expected a size", "--memory 4G"),
    Row(
        "cluster tls://a:1 --tls-ca nosuch --tls-cert a --tls-key b",
        "--tls-ca nosuch does not",
        "docs/cluster",
    ),
    Row("run --cluster nowhere", "'nowhere' is no address of a cluster", "tls://build1:8786"),
    Row("run --tls-ca x", "--tls-ca is for a cluster, and none is named", "add --cluster"),
    Row("run --shard=", "--shard is empty", "leave it out"),
    Row("run --shard 1/1001", "1001 shards are too many", "few shards"),
    Row("run --plan file", "no share is named", "--shard 1/4"),
    Row("run --plan=", "--plan is empty", "leave it out"),
    Row(
        "run --shard 1/2 --plan file --baseline a-run",
        "--plan has its times already",
        "plan --json --baseline",
    ),
    Row("run --shard 1/2 --known soon.toml", "--known is for a whole run", r"\./inv merge takes --known"),
    Row("run --shard 1/2 --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("run --shard 1/2 --plan nosuch", "--plan nosuch cannot be read", "plan --json prints one"),
    Row("run --shard 1/2 --plan dir", "--plan dir cannot be read: Is a directory", "plan --json"),
    Row("run --shard 1/2 --plan blank", "--plan blank is no plan", "plan --json"),
    Row("run --shard 1/2 --plan binary", "--plan binary is no plan", "plan --json"),
    Row("run --shard 1/2 --plan runs/a-run/run.json", "is no plan: lanes: Field required", "plan --json"),
    Row("patch fix.patch --shard 1/2", "patch has no option '--shard'", "patch --help"),
    *(
        Row(f"plan --profile ok.toml --json --shards={text}", f"--shards: expected {says}", "--shards 4")
        for text, says in (("0", "1 or more, got 0"), ("-1", "1 or more, got -1"), ("x", "a whole number"))
    ),
    Row("plan --profile ok.toml --json --shards 1001", "1001 shards are too many"),
    Row("plan --profile ok.toml --shards 4", "--shards is for the plan as JSON", "add --json"),
    Row("plan --profile ok.toml --baseline a-run", "--baseline is for the plan as JSON", "add --json"),
    Row("plan --profile ok.toml --json --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("merge", "merge needs 'dir'", r"name the run of each shard"),
    Row(("merge", ""), "dir is empty", "leave it out"),
    Row("merge nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("merge empty", NO_SUCH_RUN, MAKES_ONE),
    Row("merge damaged", "run.json is damaged", MAKES_ANOTHER),
    Row("merge a-run", "a-run is a whole run, and no shard", "run --shard I/N makes one"),
    Row("merge a-run a-run", "a-run and a-run are the same run", "one run of each shard"),
    Row("merge a-run --out dir", "--out .*/dir is in use", "does not exist yet"),
    Row("merge a-run --format nosuch", "no report format 'nosuch'"),
    Row("merge a-run --jobs 3", "merge has no option '--jobs'", "merge --help"),
]
MACHINE = [
    Row("setup --profile nosuch", "no profile 'nosuch'", "built-in profiles"),
    Row("setup --jobs 0", "greater than or equal to 1"),
    Row("images --toolchain gcc-1", "unknown toolchain 'gcc-1'", "the toolchain names are"),
    Row("images --source x", "images has no option '--source'", "images --help"),
    Row("source --profile ok.toml --source nosuch", "no source 'nosuch'", "A source is"),
    Row("source --jobs 1", "source has no option '--jobs'", "source --help"),
    Row("doctor --profile nosuch", "no profile 'nosuch'", "built-in profiles"),
    Row("doctor --jobs 3", "doctor has no option '--jobs'", "doctor --help"),
    Row("sweep --profile nosuch", "no profile 'nosuch'", "built-in profiles"),
    Row("sweep --runs-older=", "--runs-older is empty", "leave it out"),
    Row("sweep --runs-older old", "--runs-older: expected a duration such as 30m", "--runs-older 30d"),
    Row("sweep --runs-older -1d", "--runs-older: expected a duration such as 30m", "--runs-older 30d"),
    Row("sweep --yes=no", "--yes takes no value, and 'no'", "leave the value out"),
    Row("sweep everything", "no task 'everything'", "--list"),
    Row("test --only=", "--only is empty", "leave it out"),
    Row("test --nosuch", "test has no option '--nosuch'", "test --help"),
    Row("lint x", "no task 'x'", "--list"),
    *(
        Row(task, f"the cache .* cannot be used: {reason}", "set KMATRIX_CACHE", 2, {"KMATRIX_CACHE": place})
        for task in ("plan --profile ok.toml", "sweep", "source --profile ok.toml")
        for place, reason in (
            ("file", "Not a directory"),
            ("file/below", "Not a directory"),
            ("/dev/null", "Not a directory"),
            ("loop", "Not a directory"),
            ("dangling", "Not a directory"),
            (LONG, "File name too long"),
            ("/proc/nosuch", "No such file or directory"),
        )
    ),
    *(
        Row(task, "no such user here", "write the whole path", 1, {"KMATRIX_CACHE": "~nosuchuser/x"})
        for task in ("plan --profile ok.toml", "sweep", "doctor")
    ),
    Row("plan --profile ok.toml", "is no UTF-8", "rename it", 1, {"KMATRIX_CACHE": LATIN}),
]
# These reach for the engine that DOCKER_HOST names: the world's own is not asked.
ENGINES = [
    Row(task, says, hint, 2, {"DOCKER_HOST": url})
    for task in ("images", "plan --profile ok.toml")
    for url, says, hint in (
        ("nonsense", "DOCKER_HOST is nonsense, and kmatrix knows", "unset DOCKER_HOST"),
        ("//", "DOCKER_HOST is //, and kmatrix knows", "unset DOCKER_HOST"),
        ("ssh://user@host", "knows engines at unix:// and tcp:// only", "unset DOCKER_HOST"),
        ("fd://3", "knows engines at unix:// and tcp:// only", "unset DOCKER_HOST"),
        (ESCAPE, "DOCKER_HOST is red, and kmatrix knows", "unset DOCKER_HOST"),
        ("unix://", "a socket has its whole path", "write unix:///"),
        ("unix://relative", "a socket has its whole path", "write unix:///"),
        ("unix:relative", "a socket has its whole path", "write unix:///"),
        ("unix:///nosuch", "there is no such socket", "start that engine, or unset DOCKER_HOST"),
        ("unix:///dev/null", "that is no socket", "start that engine"),
        ("unix:///" + "x" * 300, "AF_UNIX path too long", "start that engine"),
        (f"unix:///{LATIN}", "there is no such socket", "start that engine"),
        ("tcp://[::1", "which is no address: Invalid IPv6 URL", "unset DOCKER_HOST"),
        ("tcp://localhost:port", "which is no address", "unset DOCKER_HOST"),
        ("tcp://localhost:99999", "which is no address: Port out of range", "unset DOCKER_HOST"),
        ("tcp://127.0.0.1:1", "Connection refused", "start that engine"),
        ("tcp://..:1", "that is no name of a host", "start that engine"),
        (f"tcp://{LATIN}:1", "that is no name of a host", "start that engine"),
        (f"tcp://{LONG}:1", "that is no name of a host", "start that engine"),
    )
]
TABLE = {
    "engines": ENGINES,
    "program": PROGRAM,
    "options": OPTIONS,
    "sources": SOURCES,
    "patches": PATCHES,
    "profiles": PROFILES,
    "texts": [Row(profile(f"{name}-text.toml"), says) for name, (_, says) in TEXTS.items()],
    "types": [Row(profile(f"{key}-type.toml"), rf"{key}-type.toml: {key}") for key in WRONG_TYPES],
    "bases": [Row(profile(f"base{n}.toml"), says) for n, says in enumerate(BASES.values())],
    "outputs": OUTPUTS,
    "baselines": BASELINES,
    "runs": RUNS,
    "findings": FINDINGS,
    "imports": IMPORTS,
    "benches": BENCHES,
    "shards": SHARDS,
    "machine": MACHINE,
}
ALL = [(group, row) for group, rows in TABLE.items() for row in rows]


class World:
    """A directory with whatever the rows name, and an engine in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.docker_host = f"unix://{root}/nobody.sock"
        kernel = Kernel(
            {"MODULES": Symbol(), "VFIO": Symbol(tristate=True)}, {"drivers/vfio/vfio.o": Made("VFIO")}
        )
        images = [ImageRecipe("gcc-14", "gcc", 14).tag, ImageRecipe("clang-19", "clang", 19).tag]
        self.engine = FakeEngine(kernel, images=[compute_base_tag(), *images])
        small_tree(
            root / "tree", **{"drivers/vfio/vfio.c": "int a;\n", "Kconfig": "config VFIO\n\ttristate 'v'\n"}
        )
        self._write_files()
        self._write_profiles()
        self._write_known_issues()
        self._write_runs()
        self.files = self.list_files()

    def connect_engine(self) -> Engine:
        return self.engine if os.environ["DOCKER_HOST"] == self.docker_host else connect_docker()

    def list_files(self) -> set[str]:
        return {str(path) for path in self.root.rglob("*") if path.relative_to(self.root).parts[0] != "cache"}

    def _write_files(self) -> None:
        root = self.root
        (root / "file").write_text("text\n")
        (root / "blank").touch()
        (root / "binary").write_bytes(bytes(range(256)))
        (root / "noarch.config").write_text("CONFIG_A=y\n")
        (root / "my.config").write_text("CONFIG_PPC=y\nCONFIG_MODULES=y\n")
        (root / "fix.patch").write_text(
            "--- a/Kconfig\n+++ b/Kconfig\n@@ -1 +1 @@\n-config VFIO\n+config VFI\n"
        )
        for name in ("empty", "dir", "dir.toml"):
            (root / name).mkdir()
        (root / "dir" / "thesis.txt").touch()
        keep_plain_build(root / "build", VFIO="y")
        keep_build(root / "garbled", {"build.log": "", "config": "text"})
        keep_build(root / "linked", {"build.log": ""})
        for name, target in (
            ("linked/config", "../my.config"),
            ("loop", "loop"),
            ("dangling", "gone"),
            ("loop.toml", "loop.toml"),
            ("zero.toml", "/dev/zero"),
        ):
            (root / name).symlink_to(target)

    def _write_profiles(self) -> None:
        (self.root / "ok.toml").write_text(SMALL_PROFILE)
        (self.root / "deep.toml").write_text("a = " + "[" * 5000)
        (self.root / "digits.toml").write_text("a = " + "9" * 5000)
        for name, (content, _) in TEXTS.items():
            (self.root / f"{name}-text.toml").write_bytes(content)
        for key, value in WRONG_TYPES.items():
            kept = [
                line
                for line in SMALL_PROFILE.splitlines()
                if not line.startswith((f"{key} =", f"[{key}]", "VFIO"))
            ]
            tables = [line for line in kept if line.startswith("[")]
            others = [line for line in kept if not line.startswith("[")]
            lines = [*others, f"{key} = {value}", *tables]
            (self.root / f"{key}-type.toml").write_text("\n".join(lines))
        for number, text in enumerate(BASES):
            (self.root / f"base{number}.toml").write_text(f"base = ['m']\n{SMALL_PROFILE}{text}\n")

    def _write_known_issues(self) -> None:
        for name, text in {
            "loose": "[one]\nkeys = ['a']\n",
            "soon": KNOWN.replace("2030-01-01", "'soon'"),
            "never": KNOWN.replace("2030-01-01", "2030-02-30"),
            "script": KNOWN.replace("https", "javascript"),
            "silent": KNOWN.replace("slow", " "),
            "shared": KNOWN + KNOWN.replace("one", "two"),
        }.items():
            (self.root / f"{name}.toml").write_text(text)

    def _write_runs(self) -> None:
        recorded = load_profile("kvm-vfio").model_dump(mode="json", by_alias=True)
        run = the_story(["powerpc"], profile=recorded)
        text = run.model_dump_json(by_alias=True)
        other = the_story(["x86"], profile=recorded).model_dump_json(by_alias=True)
        for name, content in {
            "a-run": text,
            "other": other,
            "damaged": "{",
            "deep": "[" * 100_000,
            "halved": text[: len(text) // 2],
            "future": text.replace('"schema":1', '"schema":2'),
            "cellless": run.model_copy(update={"cells": ()}).model_dump_json(by_alias=True),
            "toolless": run.model_copy(update={"toolchains": {}}).model_dump_json(by_alias=True),
            "verdict/before": text,
            "verdict/after": text,
        }.items():
            (self.root / "runs" / name).mkdir(parents=True)
            (self.root / "runs" / name / "run.json").write_text(content)
        (self.root / "runs" / "folder" / "run.json").mkdir(parents=True)
        (self.root / "runs" / "verdict" / "after" / "verdict.json").write_text("{")
        (self.root / "runs" / "asked").mkdir()
        (self.root / "runs" / "asked" / "request.json").write_text("{")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KMATRIX_")]:
            patch.delenv(name)
        patch.setenv("DOCKER_HOST", made.docker_host)
        patch.setenv("KMATRIX_CACHE", str(made.root / "cache"))
        patch.setattr(session, "RUNS_DIRECTORY", made.root / "runs")
        for module in (session, setup, doctor, sweep):
            patch.setattr(module, "connect_engine", made.connect_engine)
        patch.chdir(made.root)
        yield made


def kmatrix(*words: str) -> int:
    """The exit code of these words."""
    try:
        tasks.program.run(["kmatrix", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def name_row(case: object) -> str:
    return (
        " ".join(case.argv)[:60].encode("ascii", "replace").decode() if isinstance(case, Row) else str(case)
    )


@pytest.mark.parametrize(("group", "row"), ALL, ids=name_row)
def test_wrong_use_has_its_code_its_sentence_and_its_way_out(
    group: str, row: Row, world: World, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    del group
    for name, value in row.environment.items():
        monkeypatch.setenv(name, value)
    code = kmatrix(*row.argv)
    out, err = capsys.readouterr()
    sentence, *way_out = err.rstrip("\n").split("\n")
    assert sentence.startswith("kmatrix: "), err
    assert re.search(row.says, sentence), err
    assert re.search(row.hint, "\n".join(way_out)), err
    assert code == row.code, err
    assert out == ""
    assert all(line.startswith("  ") for line in way_out)
    assert not re.search("this is a bug|Traceback", err)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", err)
    assert world.list_files() == world.files


def test_the_table_covers_every_task() -> None:
    named = {word for _, row in ALL for word in row.argv}
    assert set(tasks.namespace.tasks) <= named
    assert len(ALL) >= 150


def test_the_world_itself_is_in_order(world: World, capsys: Said) -> None:
    # What is refused above is refused for its own fault, and not for want of a world that works.
    assert kmatrix("plan", "--profile", "ok.toml") == 0
    out, err = capsys.readouterr()
    assert "2 requests, 2 reachable" in out
    assert "kept in" not in err
    assert kmatrix("run", "--profile", "ok.toml", "--out", "out") == 0
    shutil.rmtree(world.root / "out")
    for words in (("report",), ("explain", "--finding", "F1"), ("compare", "a-run", "a-run")):
        assert kmatrix(*words, *(() if words[0] == "compare" else ("--run", "a-run"))) in {0, 100}
