"""TOML within bounds: what no person writes is refused in words, whatever the parser would make of it."""

from pathlib import Path

import pytest

from matrix.catalog.load import load_profile
from matrix.catalog.toml_file import read_toml
from matrix.errors import RequestError
from tests.stopwatch import limit_cpu

WORKING = 'arch = ["x86"]\ntoolchain = ["gcc-14"]\nfocus = ["drivers/vfio/"]\n'


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with limit_cpu(5), pytest.raises(RequestError) as caught:
        load_profile(str(path))
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deep"),
        ("x = " + "[" * 30 + "]" * 30, "nested too deep"),
        ("x = " + "{a=" * 1000 + "1" + "}" * 1000, "nested too deep"),
        (".".join("a" * 8000) + " = 1", "nested too deep"),
        (f"[{'.'.join('a' * 5000)}]\n", "nested too deep"),
        (".".join("a" * 100_000) + " = 1", "line 4 has more than 16384 characters"),
        ("# x\n" * 200_000, "has more than 512 KiB"),
        ("jobs = " + "9" * 5000, "not valid TOML"),
        (f"jobs = 0x{'f' * 5000}", "more than 64 bits"),
        (f"select = [0x{'f' * 5000}]", "more than 64 bits"),
        ("jobs = 1000000000", "less than or equal to 4096, got 1000000000"),
        ("jobs = inf", "jobs"),
        ("lanes = 1000000000", "less than or equal to 512"),
        ('memory = "999999999999999T"', "from 8M to 1024T"),
        (f'memory = "{10**30}"', "a size such as 4G"),
        ('memory = "1"', "from 8M to 1024T"),
        ('timeout = "999999999d"', "at most 366d"),
        ('deadline = "367d"', "at most 366d"),
        ('timeout = "1e300"', "a duration such as"),
        ("timeout = inf", "timeout"),
        ('timeout = "nan"', "a duration such as"),
        (f'timeout = "{"9" * 5000}"', "a duration such as"),
        (f'stage = "{"x" * 10_000}"', "stage"),
        (f"nosuchkey{'x' * 5000} = 1", "unknown key"),
    ],
)
def test_what_is_over_a_bound_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(tmp_path / "a.toml", WORKING + text)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('[bases.r]\ntarget = "randconfig"\nseed = -1\n', "greater than or equal to 0"),
        ('[bases.r]\ntarget = "randconfig"\nseed = 4294967296\n', "less than or equal to 4294967295"),
        ('[toolchains.t]\ntemplate = "gcc"\nversion = 1000000\n', "less than or equal to 999"),
        ('[toolchains.t]\ntemplate = "gcc"\nversion = -1\n', "greater than or equal to 1"),
    ],
)
def test_numbers_of_a_profile_s_rows_are_bounded(tmp_path: Path, rows: str, words: str) -> None:
    assert words in refusal(tmp_path / "a.toml", WORKING + rows)


def test_a_long_list_with_a_name_twice_is_refused_in_time(tmp_path: Path) -> None:
    names = ",\n".join(f'"a{number}"' for number in range(30_000))
    text = WORKING.replace('["x86"]', f'[{names},\n"a7"]')
    assert "names 'a7' twice" in refusal(tmp_path / "a.toml", text)


def test_what_is_within_the_bounds_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"x = {'[' * 14}1{']' * 14}\n# {'x' * 16_000}\ny = 9223372036854775807\n")
    assert read_toml(path)["y"] == 2**63 - 1
