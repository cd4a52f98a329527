"""From a robot's .config to the condition, in real containers, on the miniature tree with the regression.

`KMATRIX_KERNEL_MINIMISE=1` does the same with a randconfig of the real kernel.
"""

import os
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.minimise import minimise_config
from matrix.commands.minimise_request import parse_minimise_request
from matrix.commands.settings import GivenSettings
from matrix.findings.cause_search import Outcome
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.minitree import LINK, PATCHES, REGRESSION, patched

pytestmark = pytest.mark.engine
KERNEL = {"source": ["debian:linux-source-6.12"], "toolchain": ["gcc-14"], "arch": ["powerpc"]}
# Of the seeds from 1 on, the first of a little-endian kernel whose configuration has KVM_BOOK3S_64=y,
# SPAPR_TCE_IOMMU=y, MODULES=n and VFIO=n.
SEED = 479
RANDCONFIG = f"""
focus = ["lib/math/"]
base = ["robot"]
bases = {{ robot = {{ target = "randconfig", seed = {SEED} }} }}
"""
HEAD = """\
# Linux/powerpc 6.12.0-mini Kernel Configuration
CONFIG_PPC=y
CONFIG_NR_CPUS=8
CONFIG_LOCALVERSION="-robot"
# CONFIG_MODULE_UNLOAD is not set
CONFIG_VIRTUALIZATION=y
"""


class Robot:
    """A robot's .config for a tree with a fault in it."""

    def __init__(self, kmatrix: Kmatrix, fault: Path, values: str) -> None:
        self.kmatrix = kmatrix
        self.tree = patched(kmatrix.place / "broken", fault)
        self.file = kmatrix.place / "robot.config"
        self.file.write_text(HEAD + values)

    def minimise(self, *focus: str) -> None:
        given = GivenSettings({"source": [str(self.tree)], "toolchain": ["gcc-14"]}, {})
        request = parse_minimise_request(given, str(self.file), "defconfig", focus, "", "100")
        self.minimised = minimise_config(
            request, self.kmatrix.events.append, ["./inv", "minimise"], self.kmatrix.world
        )
        (self.finding,) = self.minimised.stored.findings.findings


def test_the_story_is_found_from_the_whole_build_of_a_robots_config(kmatrix: Kmatrix) -> None:
    """defconfig has the values of KVM and VFIO that the error needs: flips show it."""
    robot = Robot(kmatrix, REGRESSION, "CONFIG_KVM_BOOK3S_64=y\n# CONFIG_MODULES is not set\n")
    robot.minimise()
    found = robot.minimised.found
    assert found.changes == {"MODULES": ("y", "n")}
    assert found.needed == {"KVM_BOOK3S_64": "y", "VFIO": "n"}
    condition = {"KVM_BOOK3S_64": ("y",), "MODULES": ("n",), "VFIO": ("n",)}
    assert robot.finding.condition == (condition,)
    assert {proof.flip for proof in robot.finding.proof if proof.has_finding is False} == condition.keys()
    # The whole was built once; the experiments built what shows the error.
    assert [cell.stages[-1].name for cell in robot.minimised.stored.run.cells] == ["focus"] * 8


def test_a_fault_of_the_link_is_found_by_links(kmatrix: Kmatrix) -> None:
    robot = Robot(kmatrix, LINK, "CONFIG_MODULES=y\nCONFIG_VFIO=y\nCONFIG_VFIO_PCI=y\n")
    robot.minimise()
    (cause,) = robot.minimised.found.causes
    assert "VFIO_PCI" in cause.changes
    assert cause.without["VFIO_PCI"] is Outcome.PASSES
    assert {"VFIO_PCI": ("y",)}.items() <= robot.finding.condition[0].items()
    states = {cell.state for cell in robot.minimised.stored.run.cells}
    assert {State.FAIL, State.PASS} <= states


@pytest.mark.kernel
@pytest.mark.timeout(6 * 3600)  # It takes hours where other builds are at work.
@pytest.mark.skipif(
    not os.environ.get("KMATRIX_KERNEL_MINIMISE"),
    reason="it takes long: KMATRIX_KERNEL_MINIMISE=1 asks for it",
)
def test_the_story_is_found_from_a_randconfig_of_the_real_kernel(kmatrix: Kmatrix) -> None:
    cache = CacheLayout(kmatrix.place / "cache")
    cache.root.mkdir(exist_ok=True)
    cache.sources.symlink_to(CacheLayout().sources)
    kmatrix.profile.write_text(RANDCONFIG)
    (cell,) = kmatrix.run(**KERNEL).cells
    file = kmatrix.place / "robot.config"
    file.write_text(kmatrix.stored.load_config(cell))
    asked = {**KERNEL, "patch": [str(PATCHES / "story-regression.patch")]}
    del asked["arch"]
    request = parse_minimise_request(
        GivenSettings(asked, {}), str(file), "defconfig", ["arch/powerpc/kvm/"], "", "200"
    )
    minimised = minimise_config(request, kmatrix.events.append, ["./inv", "minimise"], kmatrix.world)
    (finding,) = (found for found in minimised.stored.findings.findings if found.is_error)
    # KVM itself cannot be set: KVM_BOOK3S_64 selects it.
    condition = {"KVM_BOOK3S_64": ("y",), "MODULES": ("n",), "VFIO": ("n",)}
    assert finding.condition == (condition,)
    assert {proof.flip for proof in finding.proof if proof.has_finding is False} == condition.keys()
