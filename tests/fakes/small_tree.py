"""The smallest directory that counts as a kernel tree, for tests that build nothing."""

from pathlib import Path

FILES = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 48\nEXTRAVERSION = -rc1\nNAME = Test\n",
    "Kconfig": 'mainmenu "small"\n',
    "include/linux/vfio.h": "int vfio(void);\n",
    "virt/kvm/vfio.c": "int first;\nint second;\nint third;\n",
    "virt/kvm/Makefile": "obj-y += kvm.o\nkvm-y := vfio.o\n",
    "scripts/run.sh": "#!/bin/sh\n",
}
EDIT = """\
--- a/virt/kvm/vfio.c
+++ b/virt/kvm/vfio.c
@@ -1,3 +1,3 @@
 int first;
-int second;
+int 2nd;
 int third;
"""
SMALL_PROFILE = """\
arch = ["x86"]
toolchain = ["gcc-14"]
focus = ["drivers/vfio/"]
source = "tree"
[symbols]
VFIO = ["n", "y"]
"""
"""Of two cells, beside a tree that lies in ``tree``."""


def small_tree(root: Path, **more: str) -> Path:
    """Make the tree at ``root``, with a link, and with other files (name: content) beside the usual."""
    for name, content in {**FILES, **more}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "scripts/run.sh").chmod(0o755)
    (root / "scripts/include").symlink_to("../include")
    return root
