"""One make that configures many requests, in real containers: each gets what its own make makes of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout, locate_cache_root
from matrix.catalog.load import load_catalog, load_profile
from matrix.engine import images
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.protocol import ContainerLimits, Engine
from matrix.engine.step import StepRunner
from matrix.plan import Request, plan_requests
from matrix.record.states import State
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.resolution import Resolution
from matrix.resolve.resolution_store import ResolutionStore
from matrix.resolve.resolver import Resolver
from tests import minitree

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

RECIPES = {
    "gcc-14": images.ImageRecipe("gcc-14", "gcc", 14),
    "clang-19": images.ImageRecipe("clang-19", "clang", 19),
}
MAKEFILE = """\
export PROBE := from-make
all := defconfig olddefconfig
.PHONY: $(all) conf
conf:
	cd $(O) && $(if $(LLVM),clang,gcc) -o conf $(CURDIR)/conf.c
defconfig: conf
	echo CONFIG_BASE=y > $(O)/.config
olddefconfig: conf
	cd $(O) && ./conf --olddefconfig Kconfig
"""
CONF = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
	char text[4096] = "", probe[256] = "";
	FILE *file = popen("echo $PROBE; echo $LD_PRELOAD; echo asked >> asked", "r");

	fread(probe, 1, sizeof(probe) - 1, file);
	pclose(file);
	fprintf(stderr, "Kconfig:1:warning: said while reading\n");
	file = fopen(".config", "r");
	fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	if (strstr(text, "VFIO=m"))
		HERE;
	file = fopen(".config.new", "w");
	fprintf(file, "%s# %s", text, probe);
	printf("wrote %zu\n", strlen(text));
	return fclose(file) || rename(".config.new", ".config");
}
"""
MakeResolver = Callable[[str, str, Path, str], Resolver]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return connect_engine()


@pytest.fixture
def resolver(engine: Engine, tmp_path: Path) -> Iterator[MakeResolver]:
    """``resolver(arch, toolchain, tree, name)``: with an empty build directory and nothing in its store."""

    def make(arch: str, toolchain: str, tree: Path, name: str) -> Resolver:
        build = tmp_path / name
        build.mkdir()
        build.chmod(0o777)
        image = images.ensure_toolchain_image(engine, RECIPES[toolchain], lambda _: None, install=True)
        limits = ContainerLimits(memory=2 * 2**30, seconds=300)
        steps = StepRunner(engine, choose_container_user(), minitree.RUN, limits)
        catalog = load_catalog()
        variables = catalog.build_make_variables(arch, toolchain)
        runner = MakeRunner(steps, tree, image, variables, lambda: 2, lambda: build)
        return Resolver(runner, catalog, "0", "0", {}, ResolutionStore(tmp_path / f"{name}.store"))

    yield make
    assert not [name for name in engine.list_containers() if minitree.RUN in name]


def small_tree(place: Path, here: str) -> Path:
    """A tree with nothing but a conf in C, which does ``here`` when VFIO=m is asked for."""
    place.mkdir()
    (place / "Makefile").write_text(MAKEFILE)
    (place / "conf.c").write_text(CONF.replace("HERE", here))
    return place


def ask(*values: str, toolchain: str = "gcc-14") -> list[Request]:
    return [Request.from_symbols("x86", toolchain, "defconfig", {"VFIO": value}) for value in values]


def make_together(resolver: Resolver, requests: list[Request]) -> dict[str, Resolution]:
    """What one make came to, by request."""
    assert resolver.make_together(requests, lambda _: None) is State.PASS
    made = {request.id: resolver.take_made(request, lambda _: None) for request in requests}
    return {name: resolution for name, resolution in made.items() if resolution is not None}


@pytest.mark.parametrize("toolchain", RECIPES)
def test_forks_see_what_conf_saw_and_ask_nothing_again(
    resolver: MakeResolver, tmp_path: Path, toolchain: str
) -> None:
    lane = resolver("x86", toolchain, small_tree(tmp_path / "tree", "(void)0"), "build")
    requests = ask("n", "m", "y", toolchain=toolchain)
    made = make_together(lane, requests)
    assert [made[request.id].config for request in requests] == [
        f"CONFIG_BASE=y\n{line}\n# from-make\n\n"
        for line in ("# CONFIG_VFIO is not set", "CONFIG_VFIO=m", "CONFIG_VFIO=y")
    ]
    assert (tmp_path / "build/asked").read_text() == "asked\n"
    assert [len(item.diagnostics) for item in made.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    "here", ["return 1", "abort()", "_exit(0)", "for (;;) write(1, text, 4096)", 'unlink(".config"), exit(0)']
)
def test_a_fork_that_breaks_takes_no_other_with_it(resolver: MakeResolver, tmp_path: Path, here: str) -> None:
    lane = resolver("x86", "gcc-14", small_tree(tmp_path / "tree", here), "build")
    requests = ask("n", "m", "y")
    made = make_together(lane, requests)
    broken = {requests[1].id} if here != "_exit(0)" else set()
    assert set(made) == {request.id for request in requests} - broken
    assert all("from-make" in str(made[request.id].config) for request in (requests[0], requests[2]))


@pytest.mark.kernel
@pytest.mark.parametrize(("arch", "toolchain"), [("powerpc", "gcc-14"), ("x86", "clang-19")])
def test_the_kernels_conf_makes_of_each_request_what_its_own_make_does(
    resolver: MakeResolver, arch: str, toolchain: str
) -> None:
    sources = CacheLayout(locate_cache_root()).sources
    tree = next((path for path in sources.glob("*/tree") if (path / "virt/kvm/vfio.c").exists()), None)
    assert tree is not None, "./inv setup"
    profile = load_profile("kvm-vfio")
    requests = [
        request
        for request in plan_requests(profile)
        if (request.arch, request.toolchain) == (arch, toolchain)
    ]
    assert len(requests) == 18
    made = make_together(resolver(arch, toolchain, tree, "together"), requests)
    assert set(made) == {request.id for request in requests}
    alone = resolver(arch, toolchain, tree, "alone")
    for request in requests[1::8]:  # each value of each symbol; all 18 alone would take minutes
        own = alone.resolve(request, lambda _: None)
        assert made[request.id].config == own.config, request.id
        assert made[request.id].diagnostics == own.diagnostics
