"""A .config, a Kconfig file, an expression: whatever it holds is read, or refused in a sentence."""

from matrix.kconfig.config import Config, parse_origin, unquote_value
from matrix.kconfig.definitions import collect_definitions
from matrix.kconfig.expressions import evaluate_expression, list_macros, split_conjuncts
from tests.fakes.mutated import check_reader, pass_as_text

CONFIG = b"""# Linux/powerpc 6.12.48 Kernel Configuration
CONFIG_CC_IS_GCC=y
CONFIG_GCC_VERSION=140200
CONFIG_CC_VERSION_TEXT="gcc-14 (Debian \\"14\\") 14.2.0"
# CONFIG_B is not set
CONFIG_N=0x10
"""
KCONFIG = b"""mainmenu "x"
config A
\tbool "a" if B && !C
\tdefault y if (D || E="x") && F != m
\tdepends on $(cc-option,-mabi=x) # a comment
\tselect G if H
\thelp
\t  words
if I
source "kernel/Kconfig"
choice
\tprompt "p"
config J
\ttristate
endchoice
endif
"""


def test_any_config() -> None:
    def read(text: str) -> None:
        config = Config.parse(text)
        assert Config.parse(str(config)) == config
        parse_origin(text)
        for value in config.values():
            unquote_value(value)

    check_reader(pass_as_text(read), CONFIG, examples=300)


def test_any_kconfig_file() -> None:
    check_reader(pass_as_text(lambda text: collect_definitions({"Kconfig": text})), KCONFIG, examples=300)


def test_any_expression() -> None:
    def read(text: str) -> None:
        evaluate_expression(text, Config({"A": "y", "B": "m", "S": '"x"'}))
        list_macros(text)
        split_conjuncts(text)

    check_reader(pass_as_text(read), b'A && (B || !C) && S = "x" && N >= 0x10 && $(f,a)', examples=300)
