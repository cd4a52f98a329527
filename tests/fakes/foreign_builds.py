"""Directories of builds as others keep them: tuxmake's, KernelCI's, the 0-day robot's, and by hand."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

TUXMAKE = Path(__file__).parent.parent / "tuxmake"
"""Real output of tuxmake 1.45 on the miniature tree with its regression; ``verbose/`` was built with -v."""

GCC = "powerpc64le-linux-gnu-gcc (Debian 14.2.0-19) 14.2.0"
CLANG = "Debian clang version 19.1.7 (3+b1)"
ERROR = """\
drivers/vfio/group.c: In function 'open':
drivers/vfio/group.c:7:9: error: 'x' undeclared (first use in this function)
    7 |         return x;
      |                ^
make[3]: *** [scripts/Makefile.build:229: drivers/vfio/group.o] Error 1
make[2]: *** [scripts/Makefile.build:478: drivers/vfio] Error 2
make[1]: *** [/home/u/linux/Makefile:1936: drivers/vfio] Error 2
make: *** [Makefile:224: __sub-make] Error 2
"""
MADE = """\
make -C /home/u/linux O=/home/u/out ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- -j8 drivers/vfio/
make[1]: Entering directory '/home/u/out'
  CC      drivers/vfio/group.o
  CC      drivers/vfio/vfio_main.o
make[1]: Leaving directory '/home/u/out'
"""
FAILED = f"""\
make -C /home/u/linux O=/home/u/out ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- -j8 drivers/vfio/
make[1]: Entering directory '/home/u/out'
  CC      drivers/vfio/group.o
  CC      drivers/vfio/vfio_main.o
{ERROR}"""
WARNING = "drivers/vfio/group.c:3:6: warning: unused variable 'y' [-Wunused-variable]\n"
ROBOT_MAIL = f"""\
From: kernel test robot <lkp@example.org>
Subject: [vfio:next 3/7] drivers/vfio/group.c:7:9: error: 'x' undeclared

config: powerpc-randconfig-r004-20230917 (https://example.org/config)
compiler: {GCC}
reproduce (this is a W=1 build):
        make.cross W=1 O=build_dir ARCH=powerpc SHELL=/bin/bash drivers/vfio/

All errors (new ones prefixed by >>):

   drivers/vfio/group.c: In function 'open':
>> drivers/vfio/group.c:7:9: error: 'x' undeclared (first use in this function)
       7 |         return x;
         |                ^


vim +/x +7 drivers/vfio/group.c

     7\t        return x;

--
0-DAY CI Kernel Test Service
"""


def config_text(arch: str = "powerpc", compiler: str = GCC, version: str = "6.12.1", **symbols: str) -> str:
    """A .config as conf writes it. A symbol that is ``-`` is not in it."""
    family = "CLANG" if "clang" in compiler else "GCC"
    of_arch = {"powerpc": "PPC", "x86": "X86", "arm64": "ARM64"}.get(arch, arch.upper())
    lines = [f"# Linux/{arch} {version} Kernel Configuration", f'CONFIG_CC_VERSION_TEXT="{compiler}"']
    lines += [f"CONFIG_CC_IS_{family}=y", f"CONFIG_{of_arch}=y"]
    for name, value in symbols.items():
        if value != "-":
            lines.append(f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}")
    return "\n".join(lines) + "\n"


def keep_build(path: Path, files: Mapping[str, str | bytes | dict[str, object]]) -> Path:
    """A directory with these files; an object is written as JSON, what is called .gz is packed."""
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = json.dumps(content) if isinstance(content, dict) else content
        data = text.encode() if isinstance(text, str) else text
        packed = name.endswith(".gz") and isinstance(text, str)
        (path / name).write_bytes(gzip.compress(data) if packed else data)
    return path


def keep_plain_build(path: Path, log: str = MADE, **symbols: str) -> Path:
    """A log and a .config, as they are saved by hand."""
    return keep_build(path, {"build.log": log, ".config": config_text(**symbols)})
