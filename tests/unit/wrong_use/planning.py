"""Wrong use of what a plan is made of: the program's words, options, sources and patches."""

import re

from tests.unit.wrong_use.row import DEEP, ESCAPE, LATIN, LONG, READS, Row, at

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
    *(
        Row(at("--cover", value), f"--cover: expected a whole number, got {re.escape(repr(value))}")
        for value in ("x", "", "2.0", "two", "２")
    ),
    Row(at("--cover", "1"), "--cover: cover: input should be greater than or equal to 2, got 1"),
    Row(at("--cover", "4"), "--cover: cover: input should be less than or equal to 3, got 4"),
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
