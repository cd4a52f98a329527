# SPDX-License-Identifier: MIT
"""``python3 -m mod.modpost NM``: do the modules of modules.order find every symbol that they use?

Writes Module.symvers, and a .mod.c for each module. A symbol is exported by EXPORT_SYMBOL, which
leaves ``__export_NAME`` behind; MODULE_LICENSE leaves ``__license_...``.
"""

import subprocess
import sys
from pathlib import Path


def _symbols(nm: str, path: str) -> dict[str, str]:
    """Name → nm's letter, of every symbol in an object."""
    done = subprocess.run([nm, "-P", path], capture_output=True, text=True, check=True)
    return {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line.split()}


def _exported(symbols: dict[str, str]) -> set[str]:
    return {name.removeprefix("__export_") for name in symbols if name.startswith("__export_")}


def _write(path: Path, text: str) -> None:
    """Nothing that says the same gets a new time."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(nm: str) -> int:
    """Check all of modules.order in the current directory; 1 when a symbol is missing."""
    modules = Path("modules.order").read_text().split()
    tables = {path.removesuffix(".o"): _symbols(nm, path) for path in modules}
    if Path("vmlinux.o").exists():
        tables = {"vmlinux": _symbols(nm, "vmlinux.o")} | tables
    exports = {name: owner for owner, table in tables.items() for name in _exported(table)}
    symvers = (f"0x00000000\t{name}\t{owner}\tEXPORT_SYMBOL\t\n" for name, owner in exports.items())
    _write(Path("Module.symvers"), "".join(symvers))
    missing = False
    for module in (path.removesuffix(".o") for path in modules):
        table = tables[module]
        if not any(name.startswith("__license") for name in table):
            sys.stderr.write(f"ERROR: modpost: missing MODULE_LICENSE() in {module}.o\n")
            missing = True
        for name in sorted(n for n, letter in table.items() if letter == "U" and n not in exports):
            if "vmlinux" in tables and not name.startswith((".TOC", "_GLOBAL_OFFSET")):
                sys.stderr.write(f'ERROR: modpost: "{name}" [{module}.ko] undefined!\n')
                missing = True
        Path(f"{module}.mod.c").parent.mkdir(parents=True, exist_ok=True)
        _write(Path(f"{module}.mod.c"), f'const char module_name[] = "{Path(module).name}";\n')
    return int(missing)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
