"""Trees whose makefiles mean harm, in real containers: what each cell becomes, and what comes after it.

A trap is shell that the tree's Makefile runs in the build directory in one cell, after ``conf`` or after the
build (``post``). All traps of a run share one lane, so each cell follows what the one before it left.
"""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.sweep import sweep_leftovers
from matrix.findings.stored_run import StoredRun
from matrix.foreign_trees import remove_tree
from matrix.record.events import CellFinished, ProgressEvent
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.unit.test_foreign_trees import nest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(280)]

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
LIST = "drivers/vfio/built-in.a"
ORDER = "drivers/vfio/modules.order"
COMMAND = "drivers/vfio/.vfio_main.o.cmd"
DEEP = 'python3 -c \'import os\nfor _ in range({depth}): os.mkdir("d"); os.chdir("d")\''


@dataclass(frozen=True)
class Trap:
    """``state`` and ``reason`` are what the cell must come to; of another cell nothing may change."""

    name: str
    when: str
    shell: str
    state: str
    reason: str = ""


TRAPS = (
    # what conf leaves as .config
    Trap(".config is a link", "conf", "rm .config; ln -s /etc/shadow .config", "infra", "is a link"),
    Trap(".config is a pipe", "conf", "rm .config; mkfifo .config", "infra", "no regular file"),
    Trap(".config never ends", "conf", "rm .config; ln -s /dev/zero .config", "infra", "is a link"),
    Trap(".config is a directory", "conf", "rm .config; mkdir -p .config/a/b", "infra", "is a directory"),
    Trap(".config is huge", "conf", "truncate -s 100M .config", "infra", "more than"),
    Trap(".config is a loop", "conf", "rm .config; ln -s .config .config", "infra", "is a link"),
    Trap(".config is gone", "conf", "rm .config", "infra", "left no .config"),
    Trap(".config has NULs", "conf", "printf 'CONFIG_X=\\0\\0y\\n\\0' >> .config", "infra", "is no line"),
    Trap(".config is junk", "conf", "head -c 100000 /dev/urandom >> .config", "infra", "is no line"),
    Trap(".config has odd lines", "conf", "printf 'CONFIG_=\\n=y\\nCONFIG_A=\"\\\\\\n# CONFIG_ is not set\\n' >> .config", "infra", "is no line"),
    Trap("1,500 deep after conf", "conf", DEEP.format(depth=1500), "infra", "directories deep"),
    # what a build leaves in place of kbuild's files
    Trap("built-in.a of size -60", "post", f"printf '!<thin>\\n%-16s%-12s%-6s%-6s%-8s%-10s`\\n' /0 0 0 0 644 -60 > {LIST}", "infra", "damaged"),
    Trap("built-in.a is a pipe", "post", f"rm {LIST}; mkfifo {LIST}", "infra", "no regular file"),
    Trap("built-in.a never ends", "post", f"rm {LIST}; ln -s /dev/zero {LIST}", "infra", "is a link"),
    Trap("built-in.a is a directory", "post", f"rm {LIST}; mkdir {LIST}", "infra", "is a directory"),
    Trap("modules.order is a link", "post", f"rm {ORDER}; ln -s /etc/shadow {ORDER}", "infra", "is a link"),
    Trap("modules.order leads out", "post", f"printf '../../../../etc/x.o\\n/etc/y.o\\n\\0z.o\\n' >> {ORDER}", "pass"),
    Trap("modules.order has a million lines", "post", f"seq -f %.0f.o 1000000 > {ORDER}", "infra", "more than"),
    Trap(".config is a link later", "post", "rm .config; ln -s /etc/shadow .config", "infra", "is a link"),
    Trap(".config is a pipe later", "post", "rm .config; mkfifo .config", "infra", "no regular file"),
    Trap(".config is a directory later", "post", "rm .config; mkdir .config", "infra", "is a directory"),
    Trap(".config is huge later", "post", "truncate -s 100M .config", "infra", "more than"),
    Trap(".config is junk later", "post", "printf '\\0\\377CONFIG_KVM=x' >> .config", "infra", "is no line"),
    Trap("a command file is a directory", "post", f"rm {COMMAND}; mkdir {COMMAND}", "infra", "no regular file"),
    Trap("a command file is a link", "post", f"rm {COMMAND}; ln -s /etc/shadow {COMMAND}", "infra", "no regular file"),
    Trap("a command file is huge", "post", f"truncate -s 100M {COMMAND}", "infra", "more than"),
    Trap("a library is a pipe", "post", "mkfifo lib.a", "infra", "no regular file"),
    # trees that are hard to walk or to remove
    Trap("1,500 deep", "post", DEEP.format(depth=1500), "infra", "directories deep"),
    Trap("locked directories", "post", "mkdir -p a/b/c; touch a/b/c/d; chmod 0 a/b/c a/b a", "pass"),
    Trap("links of all kinds", "post", "ln -s .. up; ln -s loop loop; ln -s / root; ln -s /etc/shadow s; ln -s x y; ln -s y x", "pass"),
    Trap("pipes and sockets", "post", "mkfifo p drivers/p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'", "pass"),
    Trap("odd names", "post", "touch -- -rf --help \"$(printf 'a\\nb')\" \"$(printf 'c\\351')\" \"$(printf '\\033[31m')\" '*' ' '", "pass"),
    Trap("names of 255 bytes", "post", "python3 -c 'import os\nfor _ in range(40): os.mkdir(\"x\" * 255); os.chdir(\"x\" * 255)'", "pass"),
    Trap("20,000 files", "post", "mkdir many; cd many; seq 20000 | xargs touch", "pass"),
    Trap("everything is gone", "post", "rm -rf ./* .[!.]*", "infra"),
    Trap("setuid programs", "post", "cp /bin/sh su; chmod 6755 su; mkdir sg; chmod 2777 sg", "pass"),
)  # fmt: skip


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


def ask_for(kmatrix: Kmatrix, count: int) -> None:
    numbers = ", ".join(f'"{number}"' for number in range(count + 1))
    kmatrix.profile.write_text(PROFILE.format(traps=numbers))


@pytest.fixture
def honest(kmatrix: Kmatrix) -> Callable[[], None]:
    """An honest run on the same cache, which must pass."""
    plain = kmatrix.place / "plain.toml"
    plain.write_text(PROFILE.replace("TRAP = [{traps}]", 'KVM = ["n"]'))

    def run() -> None:
        kmatrix.profile = plain
        done = kmatrix.run(source=[kmatrix.tree])
        assert [(cell.state, cell.reason) for cell in done.cells] == [(State.PASS, None)]

    return run


def sweep_all(kmatrix: Kmatrix) -> None:
    found = sweep_leftovers(remove=True, engine=kmatrix.world.engine, cache=kmatrix.world.cache)
    assert not [leftover for leftover in found if leftover.problem]
    assert list((kmatrix.place / "cache/lanes").iterdir()) == []


def test_a_trap_harms_its_own_cell_at_most(kmatrix: Kmatrix, honest: Callable[[], None]) -> None:
    honest()
    lay_traps(Path(kmatrix.tree), TRAPS)
    ask_for(kmatrix, len(TRAPS))
    done = kmatrix.run(source=[kmatrix.tree])
    by_number = {int(cell.request["TRAP"]): cell for cell in done.cells}
    wrong = [
        (trap.name, by_number[number].state.value, by_number[number].reason)
        for number, trap in enumerate(TRAPS, 1)
        if by_number[number].state.value != trap.state or trap.reason not in (by_number[number].reason or "")
    ]
    assert not wrong
    assert by_number[0].state is State.PASS
