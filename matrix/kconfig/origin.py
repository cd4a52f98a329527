"""Where a .config comes from, as it says itself: arch and kernel version in its head, its compiler. Pure."""

import re
from dataclasses import dataclass

from matrix.kconfig.config import Config, unquote_value

# "# Linux/powerpc 6.12.48 Kernel Configuration": what Kconfig's mainmenu makes of ARCH and KERNELVERSION.
_HEAD = re.compile(r"^# \S+?/(\S+) (\S+) (?:Kernel )?[Cc]onfiguration$", re.MULTILINE)
_COMPILER_SYMBOLS = {"gcc": ("CC_IS_GCC", "GCC_VERSION"), "clang": ("CC_IS_CLANG", "CLANG_VERSION")}


@dataclass(frozen=True)
class ConfigCompiler:
    """What a .config was made with. ``version`` as Kconfig counts it (140200 for 14.2.0), 0 where it does
    not say; ``text`` is the first line of ``--version``, or the family alone."""

    family: str
    version: int
    text: str

    def measure_distance(self, other: "ConfigCompiler") -> tuple[bool, int]:
        """How far two compilers are apart: another family first, then the major versions between them."""
        return self.family != other.family, abs(self.version // 10000 - other.version // 10000)


@dataclass(frozen=True)
class ConfigOrigin:
    """``arch`` is the word after ``Linux/``: ARCH as it was typed. None for what a .config does not say."""

    arch: str | None
    version: str | None
    compiler: ConfigCompiler | None


def parse_origin(text: str) -> ConfigOrigin:
    """The origin of a .config, from its text. RequestError where that is no .config."""
    head = _HEAD.search(text)
    return ConfigOrigin(
        head[1] if head else None, head[2] if head else None, _parse_compiler(Config.parse(text))
    )


def _parse_compiler(config: Config) -> ConfigCompiler | None:
    for family, (is_it, version) in _COMPILER_SYMBOLS.items():
        if config.value_of(is_it) == "y":
            number, said = config.value_of(version), unquote_value(config.get("CC_VERSION_TEXT", ""))
            return ConfigCompiler(family, int(number) if number.isdigit() else 0, said or family)
    return None
