"""What makes ask of the tools, in real containers: once for a lane, and answered as the tools did."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout, locate_cache_root
from matrix.catalog.load import load_catalog
from matrix.engine import images
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.protocol import ContainerLimits, Engine
from matrix.engine.step import StepRunner
from matrix.record.states import State
from matrix.resolve.make_runner import MakeResult, MakeRunner
from matrix.resolve.tool_answers import ToolAnswers
from tests import minitree

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

RECIPES = {
    "gcc-14": images.ImageRecipe("gcc-14", "gcc", 14),
    "clang-19": images.ImageRecipe("clang-19", "clang", 19),
}
# As in scripts/Makefile.compiler. Each command adds its name to the file `asked`.
MAKEFILE = r"""
TMPOUT = $(O)/.tmp_$$$$
try-run = $(shell set -e; TMP=$(TMPOUT)/tmp; trap "rm -rf $(TMPOUT)" EXIT; mkdir -p $(TMPOUT); \
	if (echo $(1) >> $(O)/asked; $(2)) >/dev/null 2>&1; then echo "$(3)"; else echo "$(4)"; fi)
yes := $(call try-run,yes,true,-Wa$(comma)-yes  100%s \\\\n,-no)
no := $(call try-run,no,false,-yes,)
plugin := $(call try-run,plugin,true -fplugin=x.so,-yes,-no)
other := $(shell echo other >> $(O)/asked; echo other)
.PHONY: all sub conf
all: conf
	@printf 'make: [%s] [%s] [%s] [%s]\n' '$(yes)' '$(no)' '$(plugin)' '$(other)'
	@cd $(O) && ./conf
	@+$(MAKE) -C $(CURDIR) sub
sub:
	@printf 'sub: [%s] [%s]\n' '$(yes)' '$(no)'
conf:
	@$(if $(LLVM),clang,gcc) -o $(O)/conf $(CURDIR)/conf.c
"""
CONF = r"""
#include <stdio.h>
int main(void)
{
	const char *commands[] = { COMMANDS };
	static char output[4096];
	size_t at, size;
	int number, status;

	for (number = 0; number < (int)(sizeof(commands) / sizeof(*commands)); number++) {
		FILE *file = popen(commands[number], "r");

		size = fread(output, 1, sizeof(output), file);
		status = pclose(file);
		printf("conf: %d", status);
		for (at = 0; at < size; at++)
			printf("%c%02x", at % 64 ? ' ' : '\n', (unsigned char)output[at]);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
"""
COMMANDS = (
    "echo one >> asked; echo y",
    "echo two >> asked; echo n; exit 3",
    "echo three >> asked",
    "echo four >> asked; printf '%s' 'a  b\\\\n$x%s\"'; printf '\\303\\244\\n\\n'; printf '\\001\\377 '",
    "echo five >> asked; yes 12345678 | head -c 4000",
    "echo six >> asked; yes",
    "echo seven >> asked; echo warning: seven >&2; echo y",
    "echo eight >> asked; echo ${LD_PRELOAD:-nothing}",
)
CONF_NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight")
MakeRunnerFor = Callable[[str], MakeRunner]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return connect_engine()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    place.mkdir()
    (place / "Makefile").write_text(MAKEFILE)
    words = [command.replace("\\", "\\\\").replace('"', '\\"') for command in COMMANDS]
    (place / "conf.c").write_text(CONF.replace("COMMANDS", ", ".join(f'"{word}"' for word in words)))
    return place


@pytest.fixture
def build(tmp_path: Path) -> Path:
    place = tmp_path / "build"
    place.mkdir()
    os.chown(place, *map(int, choose_container_user().split(":")))
    return place


@pytest.fixture
def runner_for(engine: Engine, tree: Path, build: Path) -> Iterator[MakeRunnerFor]:
    """A runner with answers of its own for a toolchain, around the build directory."""

    def make(toolchain: str) -> MakeRunner:
        image = images.ensure_toolchain_image(engine, RECIPES[toolchain], lambda _: None, install=True)
        limits = ContainerLimits(memory=2 * 2**30, seconds=600)
        steps = StepRunner(engine, choose_container_user(), minitree.RUN, limits)
        variables = load_catalog().build_make_variables("x86", toolchain)
        return MakeRunner(steps, tree, image, variables, lambda: 2, lambda: build, answers=ToolAnswers())

    yield make
    assert not [name for name in engine.list_containers() if minitree.RUN in name]


def run(runner: MakeRunner, *targets: str) -> MakeResult:
    result = runner.run(targets, "x86/cell", lambda _: None)
    assert result.state is State.PASS, result
    return result


def take_asked(build: Path) -> list[str]:
    """What was asked since this was last called."""
    path = build / "asked"
    asked = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(asked)


@pytest.mark.parametrize("toolchain", RECIPES)
def test_what_was_asked_once_is_answered_as_it_was(
    runner_for: MakeRunnerFor, build: Path, toolchain: str
) -> None:
    runner = runner_for(toolchain)
    alone = run(replace(runner, answers=None), "all")
    whole = take_asked(build)
    # make runs once, and once below itself.
    assert whole == sorted([*CONF_NAMES, *["yes", "no", "plugin", "other"] * 2])
    first = run(runner, "all")
    assert take_asked(build) == sorted([*CONF_NAMES, "yes", "no", *["plugin", "other"] * 2])
    second = run(runner, "all")
    # What may answer otherwise, or has to complain, is asked each time.
    assert take_asked(build) == sorted(["seven", *["plugin", "other"] * 2])
    assert first.lines == alone.lines
    assert second.lines == alone.lines
    assert "warning: seven" in second.lines
    assert "conf: 768" in second.lines
    assert not list(build.glob(".tool-answers*"))


def test_answers_are_a_lanes_own(runner_for: MakeRunnerFor, build: Path) -> None:
    run(runner_for("gcc-14"), "all")
    take_asked(build)
    run(runner_for("gcc-14"), "all")
    assert "one" in take_asked(build)


@pytest.mark.parametrize("left", [0, 1, 20, 300])
def test_damaged_answers_are_asked_again(runner_for: MakeRunnerFor, tree: Path, left: int) -> None:
    runner = runner_for("gcc-14")
    alone = run(replace(runner, answers=None), "all")
    cut = f"@truncate -s {left} $(O)/.tool-answers; cd $(O)"
    (tree / "Makefile").write_text(MAKEFILE.replace("@cd $(O)", cut))
    assert run(runner, "all").lines == alone.lines
    (tree / "Makefile").write_text(MAKEFILE)
    assert run(runner, "all").lines == alone.lines


@pytest.mark.parametrize("what", ["mkdir -p", "mkfifo", "ln -sf /etc/passwd"])
def test_what_a_build_puts_in_the_place_of_answers_does_no_harm(
    runner_for: MakeRunnerFor, tree: Path, what: str
) -> None:
    runner = runner_for("gcc-14")
    alone = run(replace(runner, answers=None), "all")
    hostile = f"@rm -f $(O)/.tool-answers; {what} $(O)/.tool-answers; cd $(O)"
    (tree / "Makefile").write_text(MAKEFILE.replace("@cd $(O)", hostile))
    assert run(runner, "all").lines == alone.lines
    (tree / "Makefile").write_text(MAKEFILE)
    assert run(runner, "all").lines == alone.lines


@pytest.mark.kernel
@pytest.mark.parametrize("toolchain", RECIPES)
def test_the_kernel_is_prepared_as_without_answers(
    runner_for: MakeRunnerFor, build: Path, toolchain: str
) -> None:
    sources = CacheLayout(locate_cache_root()).sources
    tree = next((path for path in sources.glob("*/tree") if (path / "virt/kvm/vfio.c").exists()), None)
    assert tree is not None, "./inv setup"
    runner = replace(runner_for(toolchain), tree=tree)
    alone = replace(runner, answers=None)
    run(alone, "defconfig")
    run(alone, "prepare")
    expected = hash_headers(build)
    assert len(expected) > 30
    run(runner, "allnoconfig")
    run(runner, "prepare")
    assert hash_headers(build) != expected
    run(runner, "defconfig")
    run(runner, "prepare")
    assert hash_headers(build) == expected


def hash_headers(build: Path) -> dict[str, str]:
    """What the configuration is, and what was generated from it: name → digest."""
    generated = [path for path in build.rglob("*") if "generated" in path.parts and path.suffix == ".h"]
    paths = [build / ".config", build / "include/config/auto.conf", *generated]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
