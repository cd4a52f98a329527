"""From a profile to requests: the product, its order, ids and directories, selection."""

import itertools
import random
import tracemalloc
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.catalog.load import load_profile
from matrix.catalog.types import Profile
from matrix.errors import RequestError
from matrix.plan import (
    Request,
    compute_plan_digest,
    find_matching_terms,
    list_axes,
    plan_requests,
    select_requests,
)
from tests.stopwatch import limit_cpu

# A busy machine may take its time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
STORY = Request.from_symbols("powerpc", "gcc-14", "defconfig", {"VFIO": "n", "KVM": "y", "MODULES": "n"})
ALL = plan_requests(load_profile("kvm-vfio"))


def a_profile(**keys: Any) -> Profile:
    known = {"arch": ("x86",), "toolchain": ("gcc-14",), "focus": ("drivers/vfio/",)}
    return Profile.model_validate(known | keys)


def ids(points: Iterable[Request]) -> list[str]:
    return [point.id for point in points]


# The product


def test_the_default_profile_makes_144_requests_all_different() -> None:
    assert len(ALL) == 4 * 2 * 3 * 2 * 3 == 144
    assert len(set(ids(ALL))) == 144
    assert len({point.directory for point in ALL}) == 144


def test_quick_is_powerpc_whole_and_a_few_of_each_other_arch() -> None:
    points = plan_requests(load_profile("quick"))
    count = {
        arch: sum(point.arch == arch for point in points) for arch in ("arm64", "powerpc", "s390", "x86")
    }
    assert count["powerpc"] == 2 * 8
    assert all(1 <= count[arch] <= 4 for arch in ("arm64", "s390", "x86"))
    assert {point.toolchain for point in points if point.arch == "powerpc"} == {"gcc-14", "clang-19"}


def test_quick_holds_the_storys_cell_with_both_compilers() -> None:
    found = {point.id for point in plan_requests(load_profile("quick"))}
    for toolchain in ("gcc-14", "clang-19"):
        assert f"powerpc/{toolchain}/defconfig/KVM=y,MODULES=n,VFIO=n" in found


def test_plan_order_is_the_profiles_own_with_the_last_symbol_turning_fastest() -> None:
    points = plan_requests(
        a_profile(
            arch=("x86", "arm64"),
            base=("tinyconfig", "defconfig"),
            symbols={"B": ("y", "n"), "A": ("m", "n")},
        )
    )
    assert ids(points) == [
        f"{arch}/gcc-14/{base}/A={a},B={b}"
        for arch, base, a, b in itertools.product(("x86", "arm64"), ("tinyconfig", "defconfig"), "mn", "yn")
    ]


def test_the_axes_are_arch_toolchain_base_and_the_symbols_in_alphabetical_order() -> None:
    found = list_axes(a_profile(symbols={"VFIO": ("n", "y"), "KVM": ("m",)}))
    assert list(found) == ["arch", "toolchain", "base", "KVM", "VFIO"]
    assert found == {
        "arch": ("x86",),
        "toolchain": ("gcc-14",),
        "base": ("defconfig",),
        "KVM": ("m",),
        "VFIO": ("n", "y"),
    }


def test_a_profile_without_symbols_asks_for_the_bases_themselves() -> None:
    assert ids(plan_requests(a_profile(arch=("x86", "s390")))) == [
        "x86/gcc-14/defconfig",
        "s390/gcc-14/defconfig",
    ]


def test_equal_plans_have_equal_digests_and_others_do_not() -> None:
    again = plan_requests(load_profile("kvm-vfio"))
    assert compute_plan_digest(again) == compute_plan_digest(ALL)
    assert compute_plan_digest(ALL[1:]) != compute_plan_digest(ALL)
    assert compute_plan_digest(ALL[::-1]) != compute_plan_digest(ALL)
    assert len(compute_plan_digest(ALL)) == 64


# Ids and directories


def test_an_id_is_its_fields_with_the_symbols_in_alphabetical_order() -> None:
    assert STORY.id == "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
    assert str(STORY.directory) == STORY.id
    assert STORY.symbol_values == {"KVM": "y", "MODULES": "n", "VFIO": "n"}


def test_the_order_in_which_symbols_are_given_does_not_matter() -> None:
    assert Request.from_symbols("x86", "gcc-14", "b", {"A": "1", "B": "2"}) == Request.from_symbols(
        "x86", "gcc-14", "b", {"B": "2", "A": "1"}
    )


@pytest.mark.parametrize("base", ["a/b", "a b", "a\nb", "a:b", "a*b", "a%2Fb", "ä", "a=b", "a,b", "\x00"])
def test_other_characters_of_a_base_or_value_are_escaped_in_directories(base: str) -> None:
    for request in (
        Request.from_symbols("x86", "gcc-14", base, {"A": "y"}),
        Request.from_symbols("x86", "gcc-14", "defconfig", {"A": base}),
    ):
        parts = request.directory.parts
        assert len(parts) == 4
        assert all(letter.isascii() and letter.isprintable() for part in parts for letter in part)
        assert not set("/ :*\\") & set("".join(parts))


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_base_cannot_climb_out_of_the_cells_directory(name: str) -> None:
    directory = Request.from_symbols("x86", "gcc-14", name, {"A": "y"}).directory
    assert len(directory.parts) == 4
    assert not {"", ".", ".."} & set(directory.parts)


def test_a_directory_over_200_bytes_is_shortened_with_a_hash() -> None:
    symbols = {f"SYMBOL_NUMBER_{number:03}": "y" for number in range(40)}
    one = Request.from_symbols("x86", "gcc-14", "defconfig", symbols)
    other = Request.from_symbols("x86", "gcc-14", "defconfig", symbols | {"SYMBOL_NUMBER_039": "n"})
    for request in (one, other):
        assert len(str(request.directory).encode()) <= 200
        assert str(request.directory).startswith("x86/gcc-14/defconfig/SYMBOL_NUMBER_000=y")
    assert one.directory != other.directory
    assert one.directory == Request.from_symbols("x86", "gcc-14", "defconfig", dict(symbols)).directory


def test_a_directory_of_just_200_bytes_stays_as_it_is() -> None:
    room = 200 - len("x86/gcc-14/defconfig/A=")
    assert str(Request.from_symbols("x86", "gcc-14", "defconfig", {"A": "v" * room}).directory).endswith(
        "v" * room
    )
    assert "~" in str(Request.from_symbols("x86", "gcc-14", "defconfig", {"A": "v" * (room + 1)}).directory)


def test_values_outside_ascii_count_in_bytes() -> None:
    request = Request.from_symbols("x86", "gcc-14", "defconfig", {"A": "ü" * 150})
    assert len(str(request.directory).encode()) <= 200


@pytest.mark.parametrize(
    "keys",
    [
        {"symbols": {"A": ("Y", "y")}},
        {"base": ("Mine", "mine")},
    ],
    ids=["values", "bases"],
)
def test_requests_that_a_file_system_without_case_would_mix_up_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="share") as caught:
        plan_requests(a_profile(**keys))
    assert caught.value.exit_code == 1


names = st.text(min_size=1, max_size=12)
values = st.one_of(st.sampled_from(["n", "m", "y"]), st.text(max_size=12))


@steady
@given(
    base=st.lists(names, min_size=1, max_size=3, unique=True),
    a=st.lists(values, min_size=1, max_size=3, unique=True),
)
def test_no_two_requests_of_a_plan_share_a_directory(base: Sequence[str], a: Sequence[str]) -> None:
    profile = Profile.model_construct(
        arch=("x86", "s390"), toolchain=("gcc-14",), base=tuple(base), symbols={"A": tuple(a)}, select=()
    )
    try:
        points = plan_requests(profile)
    except RequestError:
        return  # collisions are refused
    places = {str(point.directory).lower() for point in points}
    assert len(places) == len(points) == 2 * len(base) * len(a)
    assert all(".." not in point.directory.parts for point in points)


# Selection


def test_without_terms_everything_is_selected() -> None:
    assert select_requests(ALL, []) == ALL


@pytest.mark.parametrize(
    ("terms", "count"),
    [
        (["powerpc/gcc-*"], 18),
        (["powerpc/gcc-14"], 18),
        (["powerpc"], 36),
        (["powerpc/"], 36),
        (["*/clang-19/*"], 72),
        (["powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"], 1),
        (["*/KVM=y,*"], 48),
        (["*KVM=[my],*"], 96),
        (["KVM=y"], 48),
        (["KVM=?"], 144),
        (["arch=powerpc"], 36),
        (["toolchain=gcc-*"], 72),
        (["base=defconfig"], 144),
        (["KVM=y,MODULES=n,arch=x86"], 6),
        (["KVM=y", "KVM=n"], 96),
        (["KVM=y", "powerpc/*"], 48 + 36 - 12),
        (["!KVM=n"], 96),
        (["!arch=x86", "!arch=s390"], 72),
        (["powerpc/*", "!KVM=n"], 24),
        (["!KVM=n", "powerpc/*"], 24),
        (["KVM=y", "!*/clang-*", "!VFIO=m"], 16),
    ],
)
def test_terms_add_and_those_with_an_exclamation_mark_take_away(terms: list[str], count: int) -> None:
    assert len(select_requests(ALL, terms)) == count


def test_a_glob_is_about_whole_ids() -> None:
    for term in ("gcc-14", "KVM=y,MODULES", "owerpc/*", "powerpc/gcc"):
        with pytest.raises(RequestError, match="matches no request"):
            select_requests(ALL, [term])


def test_globs_know_upper_and_lower_case() -> None:
    with pytest.raises(RequestError, match="matches no request"):
        select_requests(ALL, ["PowerPC/*"])


@pytest.mark.parametrize(
    "terms", [["mips/*"], ["KVM=x"], ["KVM=y", "mips/*"], ["KVM=y", "!mips/*"], [""], ["!"]]
)
def test_a_term_that_matches_nothing_is_an_error_that_shows_it(terms: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        select_requests(ALL, terms)
    assert repr(terms[-1].removeprefix("!")) in str(caught.value)
    assert "plan" in caught.value.hint


@pytest.mark.parametrize("terms", [["!*"], ["KVM=y", "!KVM=y"], ["arch=x86", "!x86"]])
def test_selecting_nothing_is_an_error(terms: list[str]) -> None:
    with pytest.raises(RequestError, match="no request") as caught:
        select_requests(ALL, terms)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("term", ["KVMM=y", "!KVMM=y", "ARCH=x86", "state=fail", "KVM=y,VFOI=n"])
def test_an_unknown_axis_is_an_error_that_lists_the_axes(term: str) -> None:
    with pytest.raises(RequestError, match="axis") as caught:
        select_requests(ALL, [term])
    for name in ("arch", "toolchain", "base", "KVM", "MODULES", "VFIO"):
        assert name in caught.value.hint


def test_the_profiles_own_selection_counts() -> None:
    profile = a_profile(symbols={"A": ("n", "y"), "B": ("n", "y")}, select=("A=y", "!B=y"))
    assert ids(plan_requests(profile)) == ["x86/gcc-14/defconfig/A=y,B=n"]


TERMS = (
    "powerpc/*",
    "*/gcc-14/*",
    "KVM=y",
    "VFIO=m",
    "MODULES=n",
    "arch=x86",
    "toolchain=clang-*",
    "s390",
    "KVM=y,VFIO=n",
    "*",
)
terms_given = st.lists(st.sampled_from([*TERMS, *(f"!{term}" for term in TERMS)]), max_size=5)


def chosen(terms: Sequence[str]) -> tuple[Request, ...]:
    try:
        return select_requests(ALL, terms)
    except RequestError:
        return ()  # nothing was left


@steady
@given(terms=terms_given)
def test_a_selection_is_a_part_of_the_plan_in_plan_order(terms: list[str]) -> None:
    places = [ALL.index(point) for point in chosen(terms)]
    assert places == sorted(set(places))


@steady
@given(terms=terms_given, seed=st.integers(0, 99))
def test_the_order_of_the_terms_does_not_matter(terms: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(terms, len(terms))
    assert chosen(shuffled) == chosen(terms)


@steady
@given(terms=terms_given, taken=st.sampled_from(TERMS))
def test_what_a_term_takes_away_is_gone_and_nothing_else(terms: list[str], taken: str) -> None:
    gone = set(select_requests(ALL, [taken]))
    assert set(chosen([*terms, f"!{taken}"])) == set(chosen(terms)) - gone


@steady
@given(one=st.sampled_from(TERMS), other=st.sampled_from(TERMS))
def test_two_terms_select_what_either_selects(one: str, other: str) -> None:
    assert set(select_requests(ALL, [one, other])) == {
        *select_requests(ALL, [one]),
        *select_requests(ALL, [other]),
    }


# Bounds


THREE = ("n", "m", "y")


def a_large_profile(symbols: int, **keys: Any) -> Profile:
    return a_profile(symbols={f"SYM{number}": THREE for number in range(symbols)}, **keys)


@pytest.mark.parametrize(
    ("symbols", "number"),
    [(13, "1594323 combinations"), (24, "282429536481 combinations"), (20_000, "10^9542 or more")],
)
def test_a_product_that_is_too_large_is_refused_before_it_is_enumerated(symbols: int, number: str) -> None:
    with limit_cpu(2):
        for select in ((), ("SYM0=y",)):
            with pytest.raises(RequestError) as refusal:
                plan_requests(a_large_profile(symbols, select=select))
            assert number in str(refusal.value)
            assert "SYM0 has 3 values" in str(refusal.value)
            assert len(str(refusal.value)) < 300
            assert "--arch" in refusal.value.hint
        with pytest.raises(RequestError, match="combinations"):
            find_matching_terms(a_large_profile(symbols), ["SYM0=y"])


def test_a_plan_that_is_too_large_is_refused_with_its_number() -> None:
    with pytest.raises(RequestError, match="the plan has 177147 requests, and a run may have 100000"):
        plan_requests(a_large_profile(11))
    assert len(plan_requests(a_large_profile(11, select=("SYM0=y",)))) == 59049


def test_only_what_is_selected_is_kept() -> None:
    tracemalloc.start()
    assert len(plan_requests(a_large_profile(10, select=("SYM0=y,SYM1=y,SYM2=y",)))) == 3**7
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_many_terms_on_a_large_product_are_refused() -> None:
    terms = tuple(f"!SYM0=y,SYM1={value}" for value in map(str, range(1000)))
    with pytest.raises(RequestError, match="1000 terms of --select on 59049 combinations"):
        plan_requests(a_large_profile(10, select=terms))
