"""Kconfig's expressions, evaluated and taken apart."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.errors import RequestError
from matrix.kconfig.config import Config
from matrix.kconfig.expressions import evaluate_expression, list_macros, split_conjuncts

# Cores are shared with compilers: a slow example is no fault of what is tested.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

CONFIG = Config(
    {
        "MODULES": "y",
        "Y": "y",
        "M": "m",
        "OFF": "n",
        "SHIFT": "18",
        "START": "0x1F",
        "NAME": '"gcc \\"x\\""',
        "EMPTY": '""',
        "LETTER": '"y"',
    }
)


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        ("Y", "y"),
        ("M", "m"),
        ("OFF", "n"),
        ("ABSENT", "n"),
        ("y", "y"),
        ("m", "m"),
        ("n", "n"),
        ('"y"', "y"),
        ("!Y", "n"),
        ("!M", "m"),
        ("!!M", "m"),
        ("!ABSENT", "y"),
        ("Y && M", "m"),
        ("Y||M", "y"),
        ("M || OFF", "m"),
        ("OFF && Y || Y", "y"),
        ("Y || Y && OFF", "y"),
        ("(Y || Y) && OFF", "n"),
        ("!Y || Y", "y"),
        ("!(Y && M)", "m"),
        ("M=m", "y"),
        ("M = y", "n"),
        ("M != y", "y"),
        ("M!=n && Y", "y"),
        ("ABSENT = n", "y"),
        ("!M = m", "n"),
        ("M >= m", "y"),
        ("M < Y", "y"),
        ("OFF<M", "y"),
        ("SHIFT >= 18", "y"),
        ("SHIFT > 18", "n"),
        ("SHIFT <= 9", "n"),
        ("START = 31", "y"),
        ("START < 0x20", "y"),
        ("ABSENT >= 4", "n"),
        ("ABSENT < -1", "n"),
        ("SHIFT", "n"),
        ("LETTER", "n"),
        ("NAME = 'gcc \"x\"'", "y"),
        ('NAME != "gcc"', "y"),
        ('EMPTY = ""', "y"),
        ('ABSENT != ""', "n"),
        ('"" = ABSENT', "y"),
        ('NAME > "gaa"', "y"),
    ],
)
def test_an_expression_has_the_value_that_conf_gives_it(expr: str, value: str) -> None:
    assert evaluate_expression(expr, CONFIG) == value


@pytest.mark.parametrize(("expr", "value"), [("m", "n"), ("!m", "y"), ("OFF=m", "n"), ("m = m", "y")])
def test_a_lone_m_is_n_without_modules(expr: str, value: str) -> None:
    assert evaluate_expression(expr, Config({"MODULES": "n"})) == value


@pytest.mark.parametrize(
    ("expr", "value", "unknown"),
    [
        ("$(cc-option,-march=z10)", "y", ("$(cc-option,-march=z10)",)),
        ("$(success,f() && (g | h)) && M", "m", ("$(success,f() && (g | h))",)),
        ('"$(CROSS_COMPILE_COMPAT)" != ""', "y", ('"$(CROSS_COMPILE_COMPAT)"',)),
        ("OFF || CC_$(X)_Y = 5", "y", ("CC_$(X)_Y",)),
        ("Y && M", "m", ()),
    ],
)
def test_a_macro_is_taken_for_y_and_said(expr: str, value: str, unknown: tuple[str, ...]) -> None:
    assert (evaluate_expression(expr, CONFIG), list_macros(expr)) == (value, unknown)


@pytest.mark.parametrize(
    ("expr", "at"),
    [
        ("", "its end"),
        ("A &&", "its end"),
        ("(A", "its end"),
        ("A B", "B"),
        ("A = = B", "= B"),
        ("A & B", "& B"),
        ("A = B = C", "= C"),
        ("A = !B", "!B"),
        (")", ")"),
    ],
)
def test_what_is_no_expression_is_refused_where_it_goes_wrong(expr: str, at: str) -> None:
    with pytest.raises(RequestError) as refusal:
        evaluate_expression(expr, CONFIG)
    assert str(refusal.value).endswith(f"cannot be read at '{at}'")


@pytest.mark.parametrize(
    ("expr", "parts"),
    [
        ("A", ("A",)),
        ("A && B", ("A", "B")),
        ("A&&B=y&&!C", ("A", "B=y", "!C")),
        ("A && (B || C)", ("A", "B || C")),
        ("(A && B) && (C && (D))", ("A", "B", "C", "D")),
        ("A && B || C", ("A && B || C",)),
        ("((A || B))", ("A || B",)),
        ("(A) || (B)", ("(A) || (B)",)),
        ("!(A && B) && C", ("!(A && B)", "C")),
        ("IOMMUFD || !IOMMUFD", ("IOMMUFD || !IOMMUFD",)),
        ('A = "x && y" && B', ('A = "x && y"', "B")),
        ("$(f,a && b) && C", ("$(f,a && b)", "C")),
    ],
)
def test_conjuncts_are_what_must_all_hold(expr: str, parts: tuple[str, ...]) -> None:
    assert split_conjuncts(expr) == parts


@dataclass(frozen=True)
class Tree:
    """An expression with its text, and its value worked out from Kconfig's tables, not by parsing."""

    text: str
    value: str
    binds: int


NOT = {"n": "y", "m": "m", "y": "n"}
AND = {a + b: "n" if "n" in a + b else "m" if "m" in a + b else "y" for a in "nmy" for b in "nmy"}
OR = {a + b: "y" if "y" in a + b else "m" if "m" in a + b else "n" for a in "nmy" for b in "nmy"}
WORLD = {"MODULES": "y", "A": "y", "B": "m", "C": "n"}
LEAVES = st.sampled_from(
    [Tree(name, value, 4) for name, value in {**WORLD, "D": "n", "y": "y", "m": "m"}.items()]
)


def _wrapped(tree: Tree, binds: int) -> str:
    return tree.text if tree.binds > binds else f"({tree.text})"


def _both(one: Tree, other: Tree) -> Tree:
    return Tree(f"{_wrapped(one, 1)} && {_wrapped(other, 2)}", AND[one.value + other.value], 2)


def _either(one: Tree, other: Tree) -> Tree:
    return Tree(f"{_wrapped(one, 0)} || {_wrapped(other, 1)}", OR[one.value + other.value], 1)


def _same(one: Tree, other: Tree) -> Tree:
    return Tree(f"{one.text}={other.text}", "y" if one.value == other.value else "n", 3)


TREES = st.recursive(
    LEAVES | st.builds(_same, LEAVES, LEAVES),
    lambda below: st.one_of(
        st.builds(lambda tree: Tree("!" + _wrapped(tree, 2), NOT[tree.value], 3), below),
        st.builds(_both, below, below),
        st.builds(_either, below, below),
    ),
    max_leaves=12,
)


@steady
@given(TREES)
def test_evaluation_agrees_with_the_truth_tables(tree: Tree) -> None:
    assert evaluate_expression(tree.text, Config(WORLD)) == tree.value


@steady
@given(TREES)
def test_the_conjuncts_together_are_the_whole(tree: Tree) -> None:
    together = " && ".join(f"({part})" for part in split_conjuncts(tree.text))
    assert evaluate_expression(together, Config(WORLD)) == tree.value
    assert all(split_conjuncts(part) == (part,) for part in split_conjuncts(tree.text))
