"""Why a wanted value became another one, on snippets in the style of 6.12."""

from dataclasses import replace
from textwrap import dedent

import pytest

from matrix.catalog.load import Catalog, load_catalog
from matrix.kconfig.config import Config, SymbolCheck, verify_symbols
from matrix.kconfig.definitions import Definitions, collect_definitions
from matrix.plan import Request
from matrix.record.run_model import StageRecord
from matrix.record.states import State
from matrix.resolve.reasons import compute_reason_key, explain_check, explain_unreached
from matrix.resolve.resolution import Resolution, collect_proof_symbols

KVM = {
    "arm64": """\
        menuconfig KVM
        \tbool "Virtual machines"
        \tdepends on AS_HAS_ARMV8_4
        """,
    "s390": """\
        config KVM
        \tdef_tristate y
        \tprompt "Virtual machines"
        \tselect KVM_VFIO
        """,
    "powerpc": """\
        config KVM
        \tbool
        config KVM_BOOK3S_64
        \ttristate "Virtual machines on book3s_64"
        \tdepends on PPC_BOOK3S_64
        \tselect KVM
        """,
    "x86": """\
        config KVM
        \ttristate "Virtual machines"
        \tdepends on X86_LOCAL_APIC
        config KVM_INTEL
        \ttristate "Virtual machines on Intel"
        \tdepends on KVM && IA32_FEAT_CTL
        """,
}
VFIO = """\
    menuconfig VFIO
    \ttristate "User space drivers"
    \tselect IOMMU_API
    \tdepends on IOMMUFD || !IOMMUFD
    if VFIO
    config VFIO_PCI
    \ttristate "PCI devices"
    \tdepends on PCI && MMU
    endif
    config IOMMU_API
    \tbool
    """


def _definitions(*texts: str) -> Definitions:
    return collect_definitions({"Kconfig": "".join(dedent(text) for text in texts)})


def _why(
    text: str, check: str, config: dict[str, str], *, arch: str = "x86", label: str | None = None
) -> str:
    """The reason for ``SYMBOL=want`` in a configuration."""
    symbol, want = check.split("=", 1)
    resolved = Config(config)
    return explain_check(
        SymbolCheck(symbol, want, resolved.value_of(symbol)),
        resolved,
        _definitions(text),
        arch=arch,
        label=label,
    )


def test_a_tristate_wanted_m_is_y_without_modules() -> None:
    for arch in ("s390", "x86"):
        assert _why(KVM[arch], "KVM=m", {"KVM": "y", "MODULES": "n"}) == "KVM=m: MODULES=n makes it y"


def test_the_label_speaks_where_another_symbol_stands_for_it() -> None:
    reason = _why(KVM["powerpc"], "KVM_BOOK3S_64=m", {"KVM_BOOK3S_64": "y"}, arch="powerpc", label="KVM=m")
    assert reason == "KVM=m: MODULES=n makes it y"


@pytest.mark.parametrize("modules", ["y", "n"])
@pytest.mark.parametrize("got", ["y", "n"])
def test_a_bool_has_no_m_whatever_modules_is(modules: str, got: str) -> None:
    config = {"KVM": got, "MODULES": modules, "AS_HAS_ARMV8_4": "y"}
    assert _why(KVM["arm64"], "KVM=m", config, arch="arm64") == "KVM has no m on arm64"


def test_an_entry_without_a_type_does_not_hide_that_the_others_are_bool() -> None:
    text = KVM["arm64"] + "        config KVM\n        \tdepends on ARM64\n"
    assert _why(text, "KVM=m", {"KVM": "y"}, arch="arm64") == "KVM has no m on arm64"


def test_another_symbol_that_has_no_m_is_named_beside_the_label() -> None:
    reason = _why(KVM["powerpc"], "KVM=m", {"KVM": "y"}, arch="powerpc", label="VIRT=m")
    assert reason == "VIRT=m: KVM has no m on powerpc"


def test_a_symbol_that_the_tree_lacks_comes_with_the_nearest() -> None:
    assert _why(VFIO, "VFIO_PCY=y", {}) == "VFIO_PCY: the tree has no such symbol on x86 (nearest: VFIO_PCI)"
    assert _why(VFIO, "NOSUCH=m", {}) == "NOSUCH: the tree has no such symbol on x86"
    assert _why(VFIO, "ABC=y", {}, label="KVM=y") == "KVM=y: ABC: the tree has no such symbol on x86"


def test_a_symbol_that_the_configuration_has_is_not_called_missing() -> None:
    assert _why(VFIO, "NOSUCH=y", {"NOSUCH": "m"}) == "NOSUCH=y: became m"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"VFIO": "y", "MMU": "y"}, "needs PCI, which is n"),
        ({"MMU": "y"}, "needs PCI, which is n, and VFIO, which is n"),
        ({}, "needs PCI, which is n, and MMU, which is n, and VFIO, which is n"),
    ],
)
def test_dependencies_that_are_n_are_named_those_of_enclosing_blocks_too(
    config: dict[str, str], reason: str
) -> None:
    assert _why(VFIO, "VFIO_PCI=y", config) == f"VFIO_PCI=y: {reason}"


def test_a_long_list_of_dependencies_is_cut_and_says_so() -> None:
    text = 'config A\n\tbool "a"\n\tdepends on B=y && !C && D && (E || F) && D\n'
    assert _why(text, "A=y", {"C": "y", "B": "m"}) == (
        "A=y: needs B=y, which is n, and !C, which is n, and D, which is n (and 1 more)"
    )


def test_the_dependency_of_a_helper_names_the_helper() -> None:
    config = {"KVM": "y", "X86_LOCAL_APIC": "y"}
    reason = _why(KVM["x86"], "KVM_INTEL=m", config, label="KVM=m")
    assert reason == "KVM=m: KVM_INTEL needs IA32_FEAT_CTL, which is n"


def test_of_several_definitions_the_one_that_lacks_least_and_can_be_set_speaks() -> None:
    text = """\
        config A
        \tbool "a"
        \tdepends on X && Y
        config A
        \tbool "a"
        \tdepends on Z
        config A
        \tbool
        """
    assert _why(text, "A=y", {}) == "A=y: needs Z, which is n"


def test_dependencies_at_m_limit_a_tristate() -> None:
    assert _why(VFIO, "VFIO_PCI=y", {"VFIO_PCI": "m", "VFIO": "m", "PCI": "y", "MMU": "y"}) == (
        "VFIO_PCI=y: its dependency VFIO is m, so it is at most m"
    )
    assert _why(VFIO, "VFIO=y", {"VFIO": "m", "IOMMUFD": "m"}) == (
        "VFIO=y: its dependency IOMMUFD || !IOMMUFD is m, so it is at most m"
    )
    assert _why(
        VFIO, "VFIO_PCI=y", {"VFIO_PCI": "m", "VFIO": "m", "PCI": "m", "MMU": "y"}, label="PASS=y"
    ) == ("PASS=y: VFIO_PCI's dependencies PCI and VFIO are m, so VFIO_PCI is at most m")


def test_what_depends_on_m_needs_modules_and_is_never_y() -> None:
    text = 'config A\n\ttristate "a"\n\tdepends on m && B\n'
    assert _why(text, "A=m", {"B": "y"}) == "A=m: needs MODULES, which is n"
    assert _why(text, "A=y", {"B": "y", "MODULES": "y", "A": "m"}) == "A=y: can only be m"


def test_what_is_selected_cannot_be_less() -> None:
    assert _why(VFIO, "IOMMU_API=n", {"IOMMU_API": "y", "VFIO": "y"}) == "IOMMU_API=n: selected by VFIO (=y)"
    assert _why(VFIO, "IOMMU_API=n", {"IOMMU_API": "y", "VFIO": "m"}, label="X=n") == (
        "X=n: IOMMU_API is selected by VFIO (=m)"
    )


SELECTED = """\
    config T
    \ttristate "t"
    config A
    \tselect T
    config B
    \tselect T if COND
    config C
    \tselect T
    config D
    \tselect T if $(cc-option,-x)
    config E
    \tselect T
    config F
    \tselect T
    """


def test_only_selectors_that_are_on_and_whose_condition_holds_are_named() -> None:
    config = {"T": "y", "A": "y", "B": "y", "C": "n", "D": "y"}
    assert _why(SELECTED, "T=n", config) == "T=n: selected by A (=y)"
    assert _why(SELECTED, "T=n", {**config, "COND": "m"}) == "T=n: selected by A (=y), B (=y)"


def test_a_selector_at_m_does_not_explain_y() -> None:
    config = {"T": "y", "A": "m", "E": "y", "MODULES": "y"}
    assert _why(SELECTED, "T=m", config) == "T=m: selected by E (=y)"
    assert _why(SELECTED, "T=m", {**config, "E": "n"}) == "T=m: became y"


def test_at_most_three_selectors_are_listed() -> None:
    config = dict.fromkeys("TABCEF", "y") | {"COND": "y"}
    assert _why(SELECTED, "T=n", config) == "T=n: selected by A (=y), B (=y), C (=y) (and 2 more)"


def test_what_has_no_prompt_is_computed() -> None:
    assert _why(KVM["powerpc"], "KVM=y", {}) == "KVM=y: has no prompt: Kconfig computes it"
    assert _why("config A\n\tdef_bool y\n", "A=n", {"A": "y"}) == "A=n: has no prompt: Kconfig computes it"
    assert _why("config A\n\tbool\n\tdepends on B\n", "A=y", {}, label="X=y") == (
        "X=y: A has no prompt: Kconfig computes it"
    )
    assert (
        _why("config N\n\tint\n\tdefault 4\n", "N=8", {"N": "4"}) == "N=8: has no prompt: Kconfig computes it"
    )


def test_a_prompt_can_be_hidden_by_its_own_condition() -> None:
    text = 'config A\n\tbool "a" if EXPERT && B\n\tdefault y\n'
    assert _why(text, "A=n", {"A": "y", "B": "y"}) == "A=n: its prompt needs EXPERT, which is n"
    assert _why(text, "A=n", {"A": "y", "B": "y"}, label="X=n") == "X=n: A's prompt needs EXPERT, which is n"
    assert _why(text, "A=n", {"A": "y", "B": "y", "EXPERT": "y"}) == "A=n: became y"


def test_where_no_rule_knows_the_outcome_itself_is_said() -> None:
    text = """\
        config PLAIN
        \ttristate "plain"
        config SIZE
        \tint "size"
        \trange 1 9
        config MACRO
        \tbool "macro"
        \tdepends on $(cc-option,-x) && !$(cc-option,-y)
        config ODD
        \tbool "odd"
        \tdepends on (A &&
        """
    assert _why(text, "PLAIN=y", {}) == "PLAIN=y: became n"
    assert _why(text, "PLAIN=n", {"PLAIN": "m"}) == "PLAIN=n: became m"
    assert _why(text, "SIZE=20", {"SIZE": "9"}) == "SIZE=20: became 9"
    assert _why(text, "MACRO=y", {}) == "MACRO=y: became n"
    assert _why(text, "ODD=y", {}) == "ODD=y: became n"
    assert _why(text, "PLAIN=y", {}, label="STORY=y") == "STORY=y: PLAIN became n"


# A whole resolution


def _unreached(arch: str, config: dict[str, str], fixed: dict[str, str], **asked: str) -> tuple[str, ...]:
    catalog, request = load_catalog(), Request.from_symbols(arch, "gcc-14", "defconfig", asked)
    became = Config(config)
    stage = StageRecord(name="configure", state=State.PASS, command="make olddefconfig")
    checks = verify_symbols(collect_proof_symbols(request, catalog, fixed), became)
    definitions = _definitions(KVM[arch], VFIO)
    return explain_unreached(Resolution(request, str(became), stage, checks), became, definitions, catalog)


def test_of_a_knobs_symbols_the_one_that_was_set_gives_the_reason() -> None:
    assert _unreached("powerpc", {}, {}, KVM="y") == ("KVM=y: KVM_BOOK3S_64 needs PPC_BOOK3S_64, which is n",)


def test_every_symbol_of_the_request_has_its_reason_and_those_beside_it_come_last() -> None:
    reasons = _unreached("powerpc", {"VFIO": "y"}, {"ALSO": "y"}, KVM="y", VFIO="n")
    assert [reason.partition(":")[0] for reason in reasons] == ["KVM=y", "VFIO=n", "ALSO"]
    assert _unreached("powerpc", {}, {}, VFIO="n") == ()


# What a reason follows from


REQUEST = Request.from_symbols("powerpc", "gcc-14", "defconfig", {"KVM": "y"})
OTHER_VALUE = Request.from_symbols("powerpc", "gcc-14", "defconfig", {"KVM": "m"})
OTHER_ARCH = Request.from_symbols("x86", "gcc-14", "defconfig", {"KVM": "y"})
CHECK = SymbolCheck("KVM_BOOK3S_64", "y", "n")


def _compute_key(
    request: Request = REQUEST,
    config: str = "CONFIG_A=y\n",
    check: SymbolCheck = CHECK,
    catalog: Catalog | None = None,
    digest: str = "0",
) -> str:
    stage = StageRecord(name="configure", state=State.PASS, command="make olddefconfig")
    resolution = Resolution(request, config, stage, (check,))
    return compute_reason_key(resolution, catalog or load_catalog(), digest)


def test_a_reason_is_known_by_all_that_it_follows_from() -> None:
    catalog = load_catalog()
    without_knob = replace(catalog, knobs={})
    keys = [
        _compute_key(),
        _compute_key(OTHER_VALUE),
        _compute_key(OTHER_ARCH),
        _compute_key(config="CONFIG_A=m\n"),
        _compute_key(check=CHECK._replace(got="m")),
        _compute_key(catalog=without_knob),
        _compute_key(digest="1"),
    ]
    assert len(set(keys)) == len(keys)
    assert _compute_key() == keys[0]
