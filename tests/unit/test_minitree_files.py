"""The miniature tree's own conf: what becomes of a request, worked out without any container."""

from pathlib import Path

import pytest

from tests.minitree import TREE, fragment, reaches, requests
from tests.tree.scripts.kconfig.files import dot_config, read, sync
from tests.tree.scripts.kconfig.language import KconfigError, parse
from tests.tree.scripts.kconfig.values import Values

BASES = {
    "arm64": "defconfig",
    "powerpc": "ppc64le_defconfig",
    "s390": "defconfig",
    "x86": "x86_64_defconfig",
}


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Resolve":
    monkeypatch.setenv("CC", "true")
    return Resolve(monkeypatch, tmp_path)


class Resolve:
    """The defconfig of an arch, a fragment, olddefconfig; the warnings stay with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch = monkeypatch
        self.dot_config = folder / ".config"
        self.warnings: list[str] = []

    def values(self, arch: str, **symbols: str) -> Values:
        self.monkeypatch.setenv("SRCARCH", arch)
        kconfig = parse(TREE)
        base = read(TREE / "arch" / arch / "configs" / BASES[arch], kconfig)[0]
        self.dot_config.write_text(dot_config(Values(kconfig, base), "") + fragment(arch, **symbols))
        wishes, self.warnings = read(self.dot_config, kconfig)
        return Values(kconfig, wishes)

    def __call__(self, arch: str, **symbols: str) -> str:
        return dot_config(self.values(arch, **symbols), "")


@pytest.mark.parametrize(("arch", "expected"), [("arm64", 10), ("powerpc", 13), ("s390", 13), ("x86", 13)])
def test_as_many_requests_are_reachable_as_on_linux(resolve: Resolve, arch: str, expected: int) -> None:
    reachable = [r for r in requests() if reaches(arch, resolve(arch, **r), **r)]
    assert len(reachable) == expected


def test_without_modules_m_becomes_y(resolve: Resolve) -> None:
    config = resolve("s390", MODULES="n", KVM="m")
    assert "CONFIG_KVM=y" in config
    assert "# CONFIG_MODULES is not set" in config


def test_a_bool_refuses_m_and_keeps_what_it_had(resolve: Resolve) -> None:
    assert "CONFIG_KVM=y" in resolve("arm64", KVM="m")
    assert any("symbol value 'm' invalid for KVM" in warning for warning in resolve.warnings)


def test_a_repeated_symbol_is_said(resolve: Resolve) -> None:
    resolve("s390", VFIO="y")
    assert any("override: reassigning to symbol VFIO" in warning for warning in resolve.warnings)


def test_kvm_on_powerpc_is_a_bool_that_its_tristate_selects(resolve: Resolve) -> None:
    config = resolve("powerpc", KVM="m")
    assert "CONFIG_KVM=y" in config
    assert "CONFIG_KVM_BOOK3S_64=m" in config
    assert "CONFIG_KVM" not in resolve("powerpc", KVM="n").replace("# CONFIG_KVM_BOOK3S_64 is not set", "")


def test_a_vendor_module_goes_no_further_than_kvm(resolve: Resolve) -> None:
    config = resolve("x86", KVM="m", KVM_AMD="y")
    assert "CONFIG_KVM_AMD=m" in config
    assert "CONFIG_KVM_X86=m" in config


def test_a_gizmo_needs_a_widget(resolve: Resolve) -> None:
    assert "GIZMO" not in resolve("x86", GIZMO="y")
    assert "CONFIG_GIZMO=y" in resolve("x86", GIZMO="y", WIDGET="y")


@pytest.mark.parametrize("value", ["n", "m"])
def test_a_sprocket_that_is_selected_stays(resolve: Resolve, value: str) -> None:
    assert "CONFIG_SPROCKET=y" in resolve("x86", SPROCKET=value)
    assert "CONFIG_SPROCKET=y" not in resolve("x86", SPROCKET=value, FLYWHEEL="n")


def test_a_select_over_an_unmet_dependency_is_warned_of(resolve: Resolve) -> None:
    (warning,) = resolve.values("x86", RATCHET="m").unmet()
    assert warning.splitlines() == [
        "",
        "WARNING: unmet direct dependencies detected for COG",
        "  Depends on [n]: WIDGET [=n]",
        "  Selected by [m]:",
        "  - RATCHET [=m]",
    ]
    assert resolve.values("x86", RATCHET="m", WIDGET="y").unmet() == []


def test_only_changed_symbols_are_touched(
    resolve: Resolve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sync(resolve.values("arm64", VFIO="y"), "/src", {})
    for path in Path("include/config").iterdir():
        if path.name.isupper():
            path.unlink()
    sync(resolve.values("arm64", VFIO="m"), "/src", {})
    assert {p.name for p in Path("include/config").iterdir() if p.name.isupper()} == {
        "VFIO",
        "VFIO_PCI",
    }
    assert "#define CONFIG_VFIO_MODULE 1\n" in Path("include/generated/autoconf.h").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config A\n\tboool\n", 'Kconfig:2: unknown statement "boool"'),
        ("config A\n\tbool\n\tdepends on B &&\n", "Kconfig:3: syntax error"),
        ("config A\n\tbool\n\tdepends on (B\n", "Kconfig:3: syntax error"),
        ('source "nowhere"\n', 'Kconfig:1: can\'t open file "nowhere"'),
        ("if A\n", "missing end statement for this if"),
        ("endmenu\n", "Kconfig:1: syntax error"),
    ],
)
def test_what_is_no_kconfig_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "Kconfig").write_text(text)
    with pytest.raises(KconfigError) as caught:
        parse(tmp_path)
    assert message in str(caught.value)


def test_a_ring_of_dependencies_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text("config A\n\tdef_bool B\nconfig B\n\tdef_bool A\n")
    with pytest.raises(KconfigError, match="recursive dependency"):
        Values(parse(tmp_path), {}).tri("A")


def test_conditions_weigh_as_in_linux(tmp_path: Path) -> None:
    lines = [
        "config MODULES\n\tdef_bool y\n\tmodules",
        "config HALF\n\tdef_tristate m",
        "config ASKED\n\ttristate\n\tdefault y if HALF",
        'config NAME\n\tstring\n\tdefault "a if b" if HALF != n',
        "config NOT\n\tdef_tristate !HALF || (HALF && n)",
        "config MAYBE\n\tbool\n\tdepends on HALF = m\n\tdefault y",
        "config HELPED\n\tbool\n\thelp\n\t  default n\n\n\t  config NONSENSE\n\tdefault y",
    ]
    (tmp_path / "Kconfig").write_text("\n".join(lines) + "\n")
    values = Values(parse(tmp_path), {})
    expected = {"HALF": "m", "ASKED": "m", "NAME": "a if b", "NOT": "m", "MAYBE": "y", "HELPED": "y"}
    assert {name: values.text(name) for name in expected} == expected
    assert "NONSENSE" not in values.kconfig.symbols
