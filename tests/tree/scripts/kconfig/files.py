# SPDX-License-Identifier: MIT
"""The files of a configuration: .config read and written, and what the build reads of it."""

import re
from collections.abc import Iterator
from pathlib import Path

from .language import Kconfig
from .values import Values, allowed

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")


def read(path: Path, kconfig: Kconfig) -> tuple[dict[str, str], list[str]]:
    """The wishes in a .config-like file, the last line winning, and the warnings about its lines."""
    wishes: dict[str, str] = {}
    warnings: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        said = _SET.fullmatch(line) or _UNSET.fullmatch(line)
        if said is None:
            if line.strip() and not line.startswith("#"):
                warnings.append(f"{path}:{number}:warning: unexpected data: {line}")
            continue
        name, value = said[1], said[2] if said.re is _SET else "n"
        symbol = kconfig.symbols.get(name)
        if symbol is None:
            continue
        if name in wishes:
            warnings.append(f"{path}:{number}:warning: override: reassigning to symbol {name}")
        if allowed(symbol, value.strip('"')):
            wishes[name] = value.strip('"')
        else:
            warnings.append(f"{path}:{number}:warning: symbol value '{value}' invalid for {name}")
    return wishes, warnings


def _lines(values: Values) -> Iterator[tuple[str, str]]:
    for symbol in values.kconfig.symbols.values():
        if values.written(symbol):
            text = values.text(symbol.name)
            yield symbol.name, f'"{text}"' if symbol.kind == "string" else text


def dot_config(values: Values, title: str) -> str:
    """The text of a .config."""
    head = f"#\n# Made by the miniature tree's conf; do not edit.\n# {title}\n#\n"
    body = (
        f"# CONFIG_{name} is not set\n" if text == "n" else f"CONFIG_{name}={text}\n"
        for name, text in _lines(values)
    )
    return head + "".join(body)


def auto_conf(values: Values) -> dict[str, str]:
    """What make sees: every symbol that is not n."""
    return {name: text for name, text in _lines(values) if text != "n"}


def _define(name: str, text: str) -> str:
    if text == "m":
        return f"#define CONFIG_{name}_MODULE 1\n"
    return f"#define CONFIG_{name} {'1' if text == 'y' else text}\n"


def sync(values: Values, top: str, environment: dict[str, str]) -> None:
    """Write include/config/ and include/generated/autoconf.h, touching a file for each symbol that changed.

    Objects depend on ``include/config/SYMBOL``, so only those that mention a changed symbol are remade.
    auto.conf comes last: while it is missing or old, make knows that this did not get to its end.
    """
    directory = Path("include/config")
    directory.mkdir(parents=True, exist_ok=True)
    Path("include/generated").mkdir(parents=True, exist_ok=True)
    new, conf = auto_conf(values), directory / "auto.conf"
    before = dict(_SET.findall(conf.read_text())) if conf.exists() else {}
    for name in new.keys() | before.keys():
        if new.get(name) != before.get(name):
            (directory / name).write_text("")
    Path("include/generated/autoconf.h").write_text("".join(_define(*item) for item in new.items()))
    (directory / "auto.conf.cmd").write_text(_remake(values, top, environment))
    conf.write_text("".join(f"CONFIG_{name}={text}\n" for name, text in new.items()))


def _remake(values: Values, top: str, environment: dict[str, str]) -> str:
    """When make has to sync again: a Kconfig file or a variable that Kconfig may ask for changed."""
    files = " \\\n\t".join(f"{top}/{name}" for name in values.kconfig.files)
    text = f"deps_config := \\\n\t{files}\n\ninclude/config/auto.conf: $(deps_config)\n\n$(deps_config): ;\n"
    for name, value in sorted(environment.items()):
        text += f'\nifneq "$({name})" "{value}"\ninclude/config/auto.conf: FORCE\nendif\n'
    return text
