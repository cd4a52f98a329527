"""What a request writes, what proves it, and which request a configuration answers."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.catalog.load import Catalog, load_catalog, load_profile
from matrix.errors import RequestError
from matrix.kconfig.config import Config, verify_symbols
from matrix.plan import Request, list_axes, plan_requests
from matrix.record.run_model import StageRecord
from matrix.record.states import State
from matrix.resolve.resolution import (
    Resolution,
    collect_fragment_symbols,
    collect_proof_symbols,
    find_actual_request,
)

# A busy machine may take its time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

CATALOG = load_catalog()
STORY = load_profile("kvm-vfio")
AXES = list_axes(STORY)
CONFIGURED = StageRecord(name="configure", state=State.PASS, command="make olddefconfig")


def asked(arch: str, **symbols: str) -> Request:
    return Request.from_symbols(arch, "gcc-14", "defconfig", symbols)


def own_knobs(tmp_path: Path, text: str) -> Catalog:
    """The catalog with a profile's own knobs."""
    path = tmp_path / "story.toml"
    path.write_text(f'arch = ["x86"]\ntoolchain = ["gcc-14"]\nfocus = ["net/"]\n{text}')
    return CATALOG.with_profile(load_profile(str(path)))


def reached(request: Request, config: Config, catalog: Catalog = CATALOG) -> bool:
    checks = verify_symbols(collect_proof_symbols(request, catalog, {}), config)
    return Resolution(request, str(config), CONFIGURED, checks).is_reachable


# What is written, what proves it


def test_a_symbol_without_a_knob_is_written_and_proven_as_it_is() -> None:
    request = asked("x86", MODULES="n", VFIO="m")
    assert (
        collect_fragment_symbols(request, CATALOG, {})
        == collect_proof_symbols(request, CATALOG, {})
        == {"MODULES": "n", "VFIO": "m"}
    )


def test_the_storys_request_is_spelled_out_on_powerpc() -> None:
    request = asked("powerpc", KVM="y", MODULES="n", VFIO="n")
    assert collect_fragment_symbols(request, CATALOG, {}) == {
        "VIRTUALIZATION": "y",
        "KVM_BOOK3S_64": "y",
        "MODULES": "n",
        "VFIO": "n",
    }
    assert collect_proof_symbols(request, CATALOG, {}) == {
        "KVM": "y",
        "KVM_BOOK3S_64": "y",
        "MODULES": "n",
        "VFIO": "n",
    }


def test_kvm_as_a_module_on_powerpc_is_the_tristate_as_a_module_and_kvm_itself_on() -> None:
    request = asked("powerpc", KVM="m", MODULES="y", VFIO="n")
    assert reached(request, Config({"KVM": "y", "KVM_BOOK3S_64": "m", "MODULES": "y"}))
    assert not reached(request, Config({"KVM": "y", "KVM_BOOK3S_64": "y", "MODULES": "y"}))


def test_kvm_on_x86_is_not_reached_without_a_vendor_module() -> None:
    request = asked("x86", KVM="y")
    assert reached(request, Config({"KVM": "y", "KVM_INTEL": "y", "KVM_AMD": "y"}))
    assert not reached(request, Config({"KVM": "y"}))


def test_a_helper_symbol_that_is_an_axis_of_its_own_is_decided_by_that_axis() -> None:
    request = asked("x86", KVM="y", KVM_INTEL="n")
    assert collect_fragment_symbols(request, CATALOG, {})["KVM_INTEL"] == "n"
    assert collect_proof_symbols(request, CATALOG, {}) == {"KVM": "y", "KVM_INTEL": "n"}
    assert collect_fragment_symbols(request, CATALOG, {})["KVM_AMD"] == "y"


def test_fixed_symbols_are_written_and_proven_in_every_request() -> None:
    request = asked("x86", MODULES="y")
    fixed = {"NET": "n", "CMDLINE": "quiet"}
    assert (
        collect_fragment_symbols(request, CATALOG, fixed)
        == collect_proof_symbols(request, CATALOG, fixed)
        == {"MODULES": "y", **fixed}
    )


def test_a_fixed_symbol_has_the_last_word_over_a_knobs_helper() -> None:
    request = asked("x86", KVM="y")
    assert collect_fragment_symbols(request, CATALOG, {"KVM_AMD": "n"})["KVM_AMD"] == "n"
    assert collect_proof_symbols(request, CATALOG, {"KVM_INTEL": "n"})["KVM_INTEL"] == "n"


@pytest.mark.parametrize("arch", ["arm64", "powerpc", "s390", "x86"])
@pytest.mark.parametrize("value", ["n", "m", "y"])
def test_fixing_a_symbol_means_what_an_axis_of_that_one_value_means(arch: str, value: str) -> None:
    # KVM=y has no prompt on powerpc: written as it is, it would never be reached there.
    as_axis, as_fixed = asked(arch, KVM=value, VFIO="n"), asked(arch, VFIO="n")
    assert collect_fragment_symbols(as_fixed, CATALOG, {"KVM": value}) == collect_fragment_symbols(
        as_axis, CATALOG, {}
    )
    assert collect_proof_symbols(as_fixed, CATALOG, {"KVM": value}) == collect_proof_symbols(
        as_axis, CATALOG, {}
    )


TWO_KNOBS = """
[knobs.A.x86.y]
set = { A = "y", HELPER = "y" }
proof = { A = "y" }
[knobs.B.x86.y]
set = { B = "y", HELPER = "VALUE" }
proof = { B = "y" }
"""


def test_two_knobs_that_agree_on_a_helper_go_together(tmp_path: Path) -> None:
    catalog = own_knobs(tmp_path, TWO_KNOBS.replace("VALUE", "y"))
    assert collect_fragment_symbols(asked("x86", A="y", B="y"), catalog, {}) == {
        "A": "y",
        "B": "y",
        "HELPER": "y",
    }


def test_two_knobs_that_want_different_things_are_refused_with_both(tmp_path: Path) -> None:
    catalog = own_knobs(tmp_path, TWO_KNOBS.replace("VALUE", "m"))
    with pytest.raises(RequestError, match="HELPER") as caught:
        collect_fragment_symbols(asked("x86", A="y", B="y"), catalog, {})
    assert "HELPER=m" in str(caught.value)
    assert "x86/gcc-14/defconfig/A=y,B=y" in str(caught.value)


def test_every_request_of_the_default_profile_can_be_written_and_proven() -> None:
    for request in plan_requests(STORY):
        written, proven = (
            collect_fragment_symbols(request, CATALOG, {}),
            collect_proof_symbols(request, CATALOG, {}),
        )
        assert proven
        assert {"MODULES", "VFIO"} <= written.keys() & proven.keys()
        assert not any(name.startswith("CONFIG_") for name in written)


# Reachability


def test_a_request_is_reached_when_every_symbol_has_its_value() -> None:
    request = asked("x86", MODULES="n", VFIO="y")
    assert reached(request, Config({"VFIO": "y", "OTHER": "y"}))
    assert not reached(request, Config({"VFIO": "m"}))
    assert not reached(request, Config({"VFIO": "y", "MODULES": "y"}))


def test_without_a_configuration_nothing_is_reached() -> None:
    resolution = Resolution(asked("x86"), None, CONFIGURED)
    assert not resolution.is_reachable
    assert resolution.config_sha256 is None


def test_a_symbol_that_no_rule_knows_and_the_tree_lacks_is_not_reached() -> None:
    request = asked("x86", NOBODY_HAS_THIS="y")
    assert not reached(request, Config({"MODULES": "y"}))
    assert reached(asked("x86", NOBODY_HAS_THIS="n"), Config({"MODULES": "y"}))


def test_a_configuration_is_named_by_its_digest() -> None:
    text = "CONFIG_A=y\n"
    resolution = Resolution(asked("x86", A="y"), text, CONFIGURED)
    assert resolution.config_sha256 == hashlib.sha256(text.encode()).hexdigest()


# Which request a configuration answers


@pytest.mark.parametrize(
    ("arch", "config", "answers"),
    [
        ("arm64", {"KVM": "y", "VFIO": "y"}, {"KVM": "y", "MODULES": "n", "VFIO": "y"}),
        ("arm64", {}, {"KVM": "n", "MODULES": "n", "VFIO": "n"}),
        ("s390", {"KVM": "m", "MODULES": "y", "VFIO": "m"}, {"KVM": "m", "MODULES": "y", "VFIO": "m"}),
        (
            "powerpc",
            {"KVM": "y", "KVM_BOOK3S_64": "m", "MODULES": "y"},
            {"KVM": "m", "MODULES": "y", "VFIO": "n"},
        ),
        ("powerpc", {"KVM": "y", "KVM_BOOK3S_64": "y"}, {"KVM": "y", "MODULES": "n", "VFIO": "n"}),
        (
            "x86",
            {"KVM": "y", "KVM_INTEL": "y", "KVM_AMD": "y", "VFIO": "y"},
            {"KVM": "y", "MODULES": "n", "VFIO": "y"},
        ),
    ],
)
def test_a_configuration_answers_the_request_whose_proof_holds(
    arch: str, config: Mapping[str, str], answers: dict[str, str]
) -> None:
    asked_for = asked(arch, KVM="m", MODULES="n", VFIO="m")
    assert find_actual_request(asked_for, CATALOG, AXES, Config(config)) == asked(arch, **answers)


def test_a_value_outside_the_axis_is_told_as_it_is() -> None:
    found = find_actual_request(asked("x86", SIZE="5"), CATALOG, {"SIZE": ("5", "7")}, Config({"SIZE": "9"}))
    assert found.symbol_values == {"SIZE": "9"}


def test_arch_toolchain_and_base_stay() -> None:
    request = Request.from_symbols("s390", "clang-19", "tinyconfig", {"VFIO": "y"})
    found = find_actual_request(request, CATALOG, {"VFIO": ("n", "y")}, Config({}))
    assert (found.arch, found.toolchain, found.base) == ("s390", "clang-19", "tinyconfig")


@steady
@given(
    request=st.sampled_from(plan_requests(STORY)),
    extra=st.dictionaries(st.sampled_from(["NET", "PCI", "KVM_AMD"]), st.sampled_from("nmy")),
)
def test_a_configuration_that_reaches_a_request_answers_that_request(
    request: Request, extra: dict[str, str]
) -> None:
    proven = collect_proof_symbols(request, CATALOG, {})
    # On powerpc KVM is on whenever the tristate that selects it is.
    kvm = {"KVM": "y"} if request.arch == "powerpc" and proven.get("KVM_BOOK3S_64", "n") != "n" else {}
    config = Config({**extra, **kvm, **proven})
    assert reached(request, config)
    assert find_actual_request(request, CATALOG, AXES, config) == request
