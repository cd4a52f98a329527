"""How far a change of a file reaches, told by its path."""

import pytest

from matrix.kernel_files import Impact, classify_impact

PATHS = {
    Impact.NOTHING: [
        "Documentation/driver-api/vfio.rst",
        "Documentation/devicetree/bindings/arm/old.txt",
        "Documentation/ABI/testing/sysfs-class-vfio",
        "Documentation/ABI/testing/sysfs-bus-pci-drivers-xhci_hcd.0",
        "Documentation/images/logo.svg",
        "MAINTAINERS",
        "CREDITS",
        "COPYING",
        "README",
        ".mailmap",
        "LICENSES/preferred/GPL-2.0",
        "drivers/vfio/notes.rst",
    ],
    Impact.OBJECTS: [
        "virt/kvm/vfio.c",
        "include/linux/vfio.h",
        "arch/x86/kvm/vmx/vmenter.S",
        "Documentation/samples/example.c",
        "kernel/bounds.c",
    ],
    Impact.CONFIGURATION: ["Kconfig", "virt/kvm/Kconfig", "arch/x86/Kconfig.debug", "Documentation/Kconfig"],
    Impact.EVERYTHING: [
        "Makefile",
        "virt/kvm/Makefile.kvm",
        "Documentation/Makefile",
        "Documentation/devicetree/bindings/vendor-prefixes.yaml",
        "Documentation/trace/postprocess/decode.py",
        "Kbuild",
        "scripts/mod/modpost.c",
        "scripts/Kconfig.include",
        "tools/objtool/check.c",
        "arch/x86/tools/relocs.h",
        "arch/x86/lib/x86-opcode-map.txt",
        "arch/x86/entry/syscalls/syscall_64.tbl",
        "arch/arm64/boot/dts/arm/foundation-v8.dts",
        "arch/powerpc/configs/ppc64_defconfig",
        "kernel/time/timeconst.bc",
        "MAINTAINERS.c.orig",
    ],
}


@pytest.mark.parametrize(
    ("expected", "name"), [(kind, name) for kind, names in PATHS.items() for name in names]
)
def test_a_path_tells_how_far_a_change_reaches(expected: Impact, name: str) -> None:
    assert classify_impact(name) is expected
