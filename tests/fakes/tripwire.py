"""Scripts run in bulk among fake tools that do nothing, where a hostile word can only make a tripwire file.

The fakes keep every word that they are given, so that a test can compare it with the word that it meant.
"""

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fakes.hostile import TRIPWIRE

# A call is kept as the number of its words, then the words, each with a NUL. A build prints `says`.
_MAKE = """#!/bin/sh
src=. out=. last='' step=base
for word; do
    case $last in -C) src=$word ;; esac
    case $word in O=*) out=${word#O=} ;; -k) step=build ;; olddefconfig) step=configure ;; esac
    last=$word
done
printf '%s\\0' $# "$@" >>"$src/make.words"
case $step in
base) : >"$out/.config" ;;
configure) cat "$out/.config" >"$src/asked"; cat "$src/resolved" >"$out/.config" ;;
build) cat "$src/says"; exit 2 ;;
esac
"""
_DOCKER = """#!/bin/sh
case $1 in
image) exit 1 ;;
build) cat >"$PWD/recipe.$(ls | wc -l)" ;;
run)
    given='' src='' out=''
    for word; do
        case $word in
        *:/src:ro) src=${word%:/src:ro} ;;
        *:/build) out=${word%:/build} ;;
        *:/given:ro) given=${word%:/given:ro} ;;
        esac
    done
    printf '%s\\0' $# "$@" >"$src/docker.words"
    exec sh "$given/steps" "$src" "$out" "$given" ;;
esac
"""
_IDLE = (
    "flex",
    "bison",
    "bc",
    "gcc",
    "ld",
    "podman",
    "powerpc64le-linux-gnu-gcc",
    "powerpc64le-linux-gnu-ld",
)
_REAL = (
    *("sh", "cat", "tr", "tail", "grep", "sed", "mktemp", "mkdir", "rm", "id", "env", "timeout", "cp"),
    *("nproc", "ls", "wc", "touch", "date", "sleep"),
)
# Each script in the tree beside it; what it answers and what it prints are kept there.
_DRIVER = """
for place; do
    cd "$place" || exit 3
    sh -n ./repro.sh 2>parsed || echo "$place" >>"$BAD"
    sh ./repro.sh $(cat words) >said 2>&1
    echo $? >code
done
"""


class Range:
    """A place where scripts are tried: a PATH of fakes, and a kernel tree for each script."""

    def __init__(self, place: Path) -> None:
        self.place, self.bin = place, place / "bin"
        self.bin.mkdir(parents=True)
        for name in _REAL:
            (self.bin / name).symlink_to(
                next(Path(top, name) for top in ("/usr/bin", "/bin") if Path(top, name).exists())
            )
        for name, text in {"make": _MAKE, "docker": _DOCKER, **dict.fromkeys(_IDLE, "#!/bin/sh\n")}.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.trees: list[Path] = []

    def add_script(self, script: str, says: bytes, resolved: str, *words: str) -> Path:
        """Place a script; ``says`` is what the build prints, ``resolved`` the .config that comes out."""
        tree = self.place / "trees" / str(len(self.trees))
        tree.mkdir(parents=True)
        for name in ("Kbuild", "Makefile"):
            (tree / name).touch()
        (tree / "repro.sh").write_bytes(script.encode())
        (tree / "says").write_bytes(says + b"\n")
        (tree / "resolved").write_bytes(resolved.encode("utf-8", "replace"))
        (tree / "words").write_text(" ".join(words))
        self.trees.append(tree)
        return tree

    def run_scripts(self, workers: int = 2) -> None:
        """Parse and run all of them."""
        shares = [self.trees[number::workers] for number in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(self._run_share, shares))

    def _run_share(self, trees: Sequence[Path]) -> None:
        environment = {"PATH": str(self.bin), "BAD": str(self.place / "bad"), "TMPDIR": str(self.place)}
        names = [str(tree) for tree in trees]
        subprocess.run(
            ["/bin/sh", "-c", _DRIVER, "sh", *names], env=environment, check=True, cwd=self.place, timeout=280
        )

    def find_unparsable(self) -> list[str]:
        path = self.place / "bad"
        return path.read_text().split() if path.exists() else []

    def find_tripwires(self) -> list[Path]:
        """Files that only a word that became a command can have made."""
        return [path for path in self.place.rglob("*") if TRIPWIRE in path.name]


def read_calls(path: Path) -> list[list[str]]:
    """The words of each call that a fake kept."""
    words = path.read_bytes().decode("utf-8", "surrogateescape").split("\0") if path.exists() else []
    calls = []
    while words and words[0]:
        end = 1 + int(words[0])
        calls.append(words[1:end])
        words = words[end:]
    return calls
