"""A tree for TreeKernel whose files have variants: an edit chooses another one."""

from collections.abc import Mapping

_HEAD = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 48\nEXTRAVERSION = -rc1\nNAME = Test\n"
_KCONFIG = """\
config MODULES
	bool "modules"
config X86
	bool
	default y
config WERROR
	bool "errors"
	default {werror}
config NET
	tristate "net"
config VFIO
	tristate "vfio"{vfio}
config GROUP
	bool "group"
	depends on VFIO
	default {group}
config PCI
	tristate "pci"
	depends on VFIO
	default {pci}
"""
_BODIES = (
    "int {n};",
    "int {n} = 1;",
    "#warning {n} is old",
    "unused {n};",
    "#ifdef CONFIG_GROUP\n#warning {n} in a group\n#endif",
    "#ifdef MODULE\n#warning {n} in a module\n#else\nint built_in;\n#endif",
    "int {n} = CONFIG_NET;",
    "#ifdef CONFIG_GROUP\n#error {n} in a group\n#else\n#warning {n} without a group\n#endif",
    "#error {n} is broken",
    "#ifdef FOO\n#error {n} with FOO\n#endif",
    "call missing();",
    "twist {n}();",
    "undescribed {n}();",
    "#if __has_include(<linux/new.h>)\n#warning {n} with something new\n#endif",
    "#ifdef CONFIG_NET\nint {n} = 2;\n#else\n#error {n} without NET\n#endif",
)
_MAIN = (
    '#include <linux/kvm.h>\n#ifdef CONFIG_NET\n#include <linux/irq.h>\n#endif\n#include "own.h"\n{body}\n'
)
_GROUP = "#include <linux/irq.h>\n{body}\n"
_PLAIN = "{body}\n"


def _bodies(name: str, template: str = _PLAIN) -> tuple[str, ...]:
    return tuple(template.format(body=body.format(n=name)) for body in _BODIES)


_VFIO = """\
obj-$(CONFIG_VFIO) += vfio.o
vfio-y := vfio_main.o
vfio-$(CONFIG_GROUP) += group.o
obj-$(CONFIG_PCI) += pci/
obj-$(CONFIG_GROUP) += table.o
obj-$(CONFIG_NET) += blob.o
$(obj)/table.c: $(src)/table.tbl
"""
FILES: Mapping[str, tuple[str | None, ...]] = {
    "Makefile": tuple(
        f"{_HEAD}KBUILD_CFLAGS := {flags}\nKBUILD_CFLAGS-$(CONFIG_WERROR) += -Werror\n"
        for flags in ("-O2", "-O3", "-O2 -Wunused-variable")
    ),
    "Kconfig": tuple(
        _KCONFIG.format(**{"werror": "n", "vfio": "", "group": "n", "pci": "n", **more})
        for more in (
            {},
            {"group": "y"},
            {"pci": "y"},
            {"werror": "y"},
            {"vfio": "\n\tdepends on NET"},
        )
    ),
    "Kbuild": ("obj-y += kernel/\nobj-y += virt/kvm/\nobj-y += drivers/vfio/\n",),
    "include/linux/kvm.h": _bodies("kvm", "#include <generated/bounds.h>\n{body}\n"),
    "arch/x86/include/linux/kvm.h": (None, *_bodies("shadow")),
    "include/linux/irq.h": (*_bodies("irq"), None),
    "arch/x86/include/linux/irq.h": (None, *_bodies("irq")[:3]),
    "include/own.h": _bodies("own"),
    "include/linux/new.h": (None, "int new;\n"),
    "drivers/vfio/own.h": (None, *_bodies("mine")),
    "drivers/vfio/Makefile": (
        *(
            f"{_VFIO}{more}"
            for more in (
                "",
                "ccflags-y += -DFOO\n",
                "ccflags-y += -Wunused-variable\n",
                "ccflags-$(CONFIG_NET) += -DFOO\n",
                "CFLAGS_group.o := -Wunused-variable\n",
                "subdir-ccflags-$(CONFIG_NET) += -DFOO\n",
                "obj-$(CONFIG_VFIO) += extra.o\n",
                "$(obj)/blob.o: $(src)/blob.bin\n",
            )
        ),
        _VFIO.replace("vfio-$(CONFIG_GROUP) += group.o\n", ""),
    ),
    "drivers/vfio/vfio_main.c": _bodies("vfio", _MAIN),
    "drivers/vfio/group.c": (*_bodies("group", _GROUP), None),
    "drivers/vfio/extra.c": (None, *_bodies("extra")),
    "drivers/vfio/table.tbl": _bodies("table"),
    "drivers/vfio/blob.S": ('.incbin "/src/drivers/vfio/blob.bin"\n', "#warning blob\n"),
    "drivers/vfio/blob.bin": ("0\n", "1\n"),
    "drivers/vfio/pci/Makefile": ("obj-$(CONFIG_PCI) += pci.o\n",),
    "drivers/vfio/pci/pci.c": _bodies("pci", _MAIN),
    "virt/kvm/Makefile": (
        "obj-$(CONFIG_NET) += kvm.o\nkvm-y := kvm_main.o\n",
        "obj-$(CONFIG_NET) += kvm.o\nkvm-y := kvm_main.o\nccflags-y += -DFOO\n",
    ),
    "virt/kvm/kvm_main.c": _bodies("kvm_main", _MAIN),
    "kernel/Makefile": (
        """\
obj-y += main.o configs.o
$(obj)/config_data: $(KCONFIG_CONFIG)
$(obj)/configs.o: $(obj)/config_data
""",
    ),
    "kernel/main.c": ("define missing();\n", "int main;\n", "#warning main\n"),
    "kernel/configs.c": ('.incbin "kernel/config_data"\n',),
    "kernel/bounds.c": _bodies("bounds"),
    "scripts/tool.c": (*_bodies("tool")[:4], "int finds;\n"),
    "scripts/checksyscalls.sh": ("check\n", "check GROUP\n", "check always\n"),
    "Documentation/vfio.rst": ("VFIO\n", "Vfio\n"),
}
"""File → its variants, None where there is no such file."""
