"""Trees whose makefiles mean harm, in real containers: what each cell becomes, and what comes after it.

A trap is shell that the tree's Makefile runs in the build directory in one cell, after ``conf`` or after the
build (``post``). All traps of a run share one lane, so each cell follows what the one before it left.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from matrix.commands.sweep import sweep_leftovers
from matrix.foreign_trees import remove_tree, walk_tree
from matrix.record.events import CellFinished, ProgressEvent
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.minitree import patched
from tests.unit.test_foreign_trees import make_locked, make_pipes_and_sockets, nest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # fifty cells, few of which find anything built

PROFILE = """
stage = "focus"
focus = ["drivers/vfio/"]
arch = ["powerpc"]
toolchain = ["gcc-14"]
base = ["defconfig"]
retries = 0
[symbols]
TRAP = [{traps}]
[fixed]
MODULES = "y"
VFIO = "y"
VFIO_PCI = "m"
"""
KCONFIG = '\nconfig TRAP\n\tint "trap"\n\tdefault 0\n'
LIST, ORDER = "drivers/vfio/built-in.a", "drivers/vfio/modules.order"
COMMAND = "drivers/vfio/.vfio_main.o.cmd"
HEADER = "!<thin>\\n%-16s%-12s%-6s%-6s%-8s%-10s`\\n"
NEST = "python3 -c 'import os\nfor _ in range({depth}): os.mkdir({name}); os.chdir({name})'"
SOCKET = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'"
LINKS = "ln -s .. up; ln -s loop loop; ln -s / root; ln -s /etc/shadow s; ln -s x y; ln -s y x"
ODD_NAMES = """touch -- -rf --help "$(printf 'a\\nb')" "$(printf 'c\\351')" "$(printf '\\033[31m')" '*' ' '"""
ODD_LINES = """printf 'CONFIG_=\\n=y\\nCONFIG_A="\\\\\\n# CONFIG_ is not set\\n' >> .config"""
LEADS_OUT = "printf '../../../../etc/x.o\\n/etc/y.o\\n\\0z.o\\n'"
SECRET = "/etc/passwd"


@dataclass(frozen=True)
class Trap:
    """``state`` and ``reason`` are what the cell must come to; nothing may change in another cell."""

    name: str
    shell: str
    state: str = "infra"
    reason: str = ""
    when: str = "post"


def spoil(file: str) -> tuple[tuple[str, str, str], ...]:
    """What may be there in place of a file: its name, the shell that puts it there, the words for it."""
    return (
        (f"{file} is a link", f"rm -f {file}; ln -s {SECRET} {file}", "link"),
        (f"{file} never ends", f"rm -f {file}; ln -s /dev/zero {file}", "link"),
        (f"{file} is a loop", f"rm -f {file}; ln -s . {file}", "link"),
        (f"{file} is a pipe", f"rm -f {file}; mkfifo {file}", "no regular file"),
        (f"{file} is a directory", f"rm -f {file}; mkdir -p {file}/a/b", "is a directory"),
        (f"{file} is huge", f"truncate -s 100M {file}", "more than"),
    )


CONF_TRAPS = (
    *(Trap(name, shell, reason=words, when="conf") for name, shell, words in spoil(".config")),
    Trap(".config is gone", "rm .config", reason="left no .config", when="conf"),
    Trap(".config has NULs", "printf 'CONFIG_X=\\0y\\n' >> .config", "pass", when="conf"),
    Trap(".config is junk", "head -c 9999 /dev/urandom >> .config", reason="is no line", when="conf"),
    Trap(".config has odd lines", ODD_LINES, reason="is no line", when="conf"),
    Trap("1,500 deep after conf", NEST.format(depth=1500, name='"d"'), reason="deep", when="conf"),
)
POST_TRAPS = (
    *(Trap(name, shell, reason=words) for name, shell, words in spoil(".config")),
    *(Trap(name, shell, reason=words) for name, shell, words in spoil(ORDER)[:5]),
    *(Trap(name, shell, reason=words) for name, shell, words in spoil(LIST)[:5]),
    *(Trap(name, shell) for name, shell, _ in spoil(COMMAND)),
    Trap("a size of -60", f"printf '{HEADER}' /0 0 0 0 644 -60 > {LIST}", reason="damaged"),
    Trap("a list that leads out", f"{LEADS_OUT} >> {ORDER}", "pass"),
    Trap("a list of a million lines", f"seq -f %.0f.o 1000000 > {ORDER}", reason="more than"),
    Trap(".config is junk later", "printf '\\0\\377CONFIG_KVM=x' >> .config"),
    Trap("a library is a pipe", "mkfifo lib.a", reason="no regular file"),
    Trap("1,500 deep", NEST.format(depth=1500, name='"d"'), reason="deep"),
    Trap("locked directories", "mkdir -p a/b/c; touch a/b/c/d; chmod 0 a/b/c a/b a", "pass"),
    Trap("links of all kinds", LINKS, "pass"),
    Trap("pipes and sockets", f"mkfifo p drivers/p; {SOCKET}", "pass"),
    Trap("odd names", ODD_NAMES, "pass"),
    Trap("a path of 10,240 bytes", NEST.format(depth=40, name='"x" * 255'), "pass"),
    Trap("5,000 files", "mkdir many; cd many; seq 5000 | xargs touch", "pass"),
    Trap("setuid programs", "cp /bin/sh su; chmod 6755 su; mkdir sg; chmod 2777 sg", "pass"),
    Trap("everything is gone", "rm -rf ./* .[!.]*"),
)
TRAPS = (*CONF_TRAPS, *POST_TRAPS)


def lay_traps(tree: Path, traps: tuple[Trap, ...]) -> None:
    """The tree's Makefile runs the trap whose number is CONFIG_TRAP; 0 is none."""
    makefile = tree / "Makefile"
    text = makefile.read_text()
    spring = "cd $(there) && sh $(here)/traps.sh"
    text = text.replace("do $(again) $$goal; done\nelse", f"do $(again) $$goal; done; {spring} conf\nelse")
    last = "\t+@$(again) $(filter-out $(configs),$(goals))\n"
    makefile.write_text(text.replace(last, f"{last}\t@{spring} post\n"))
    cases = "\n".join(f"{trap.when}:{number})\n{trap.shell}\n;;" for number, trap in enumerate(traps, 1))
    key = "$1:$(sed -n 's/^CONFIG_TRAP=//p' .config)"
    (tree / "traps.sh").write_text(f"case {key} in\n{cases}\nesac 2>/dev/null\nexit 0\n")
    with (tree / "Kconfig").open("a") as kconfig:
        kconfig.write(KCONFIG)


def list_special_files(place: Path) -> list[str]:
    """The paths that have a setuid or setgid bit."""
    bits = stat.S_ISUID | stat.S_ISGID
    return [entry.path for entry in walk_tree(place) if entry.status and entry.status.st_mode & bits]


@pytest.fixture
def place(kmatrix: Kmatrix) -> Iterator[Path]:
    """The cache. What is in it may be more than pytest can remove."""
    yield kmatrix.place / "cache"
    remove_tree(kmatrix.place / "cache")


@pytest.fixture
def honest(kmatrix: Kmatrix, place: Path) -> Callable[[], None]:
    """An honest run on the same cache, which must pass."""
    plain, tree = kmatrix.place / "plain.toml", str(patched(kmatrix.place / "honest"))
    plain.write_text(PROFILE.replace("TRAP = [{traps}]", 'KVM = ["n"]'))

    def run() -> None:
        assert place.parent == kmatrix.place
        given, kmatrix.profile = kmatrix.profile, plain
        done = kmatrix.run(source=[tree])
        kmatrix.profile = given
        assert [(cell.state, cell.reason) for cell in done.cells] == [(State.PASS, None)]

    return run


def sweep_all(kmatrix: Kmatrix) -> None:
    found = sweep_leftovers(remove=True, engine=kmatrix.world.engine, cache=kmatrix.world.cache)
    assert not [leftover for leftover in found if leftover.problem]
    assert list((kmatrix.place / "cache/lanes").iterdir()) == []


def test_a_trap_harms_its_own_cell_at_most(kmatrix: Kmatrix, place: Path, honest: Callable[[], None]) -> None:
    special: list[str] = []

    def look(event: ProgressEvent) -> None:
        if isinstance(event, CellFinished):
            special.extend(list_special_files(place / "lanes"))

    honest()
    lay_traps(Path(kmatrix.tree), TRAPS)
    numbers = ", ".join(f'"{number}"' for number in range(len(TRAPS) + 1))
    kmatrix.profile.write_text(PROFILE.format(traps=numbers))
    kmatrix.on_event = look
    done = kmatrix.run(source=[kmatrix.tree])
    cells = {int(cell.request["TRAP"]): cell for cell in done.cells}
    came_to = {trap.name: cells[number] for number, trap in enumerate(TRAPS, 1)}
    wrong = [
        (trap, came_to[trap.name].state.value, came_to[trap.name].reason)
        for trap in TRAPS
        if came_to[trap.name].state != trap.state or trap.reason not in (came_to[trap.name].reason or "")
    ]
    assert not wrong
    assert cells[0].state is State.PASS
    assert special == list_special_files(kmatrix.place / "runs") == []
    first_line = Path(SECRET).read_text().splitlines()[0]
    recorded = [path for path in kmatrix.directory.rglob("*") if path.is_file()]
    assert not [path for path in recorded if first_line in path.read_text("utf-8", "replace")]
    kmatrix.on_event = kmatrix.events.append
    honest()
    sweep_all(kmatrix)


def test_a_lane_that_was_spoilt_long_ago_is_made_anew_or_swept(
    kmatrix: Kmatrix, place: Path, honest: Callable[[], None]
) -> None:
    def build_honestly() -> None:
        # A cell that is remembered would need no lane.
        remove_tree(place / "memory")
        honest()

    for after in (build_honestly, partial(sweep_all, kmatrix)):
        build_honestly()
        # The container reaches its mounts though no other user can enter the cache.
        assert stat.S_IMODE(place.stat().st_mode) == stat.S_IMODE(kmatrix.directory.stat().st_mode) == 0o700
        (lane,) = (place / "lanes").iterdir()
        build = lane / "build"
        nest(build, 1500)
        make_locked(build)
        make_pipes_and_sockets(build)
        (build / "su").touch(0o4755)
        after()
