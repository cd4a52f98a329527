"""The catalog and profiles: what they hold, and that what is wrong is refused in words that help."""

from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.catalog.load import Catalog, list_profile_names, load_catalog, load_profile
from matrix.catalog.types import Profile, parse_duration, parse_size
from matrix.errors import RequestError
from matrix.kconfig.config import Config

ARCHES = ("arm64", "powerpc", "s390", "x86")
WORKING = """\
arch = ["x86"]
toolchain = ["gcc-14"]
focus = ["drivers/vfio/"]
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "story.toml"
        path.write_text(text)
        return path

    return written


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def whole(path: Path) -> tuple[Profile, Catalog]:
    """What every job does with a profile: load it, then put it over the catalog."""
    profile = load_profile(str(path))
    return profile, load_catalog().with_profile(profile)


def refusal(path: Path) -> str:
    """The sentence that a profile is refused with, without the directory: pytest names it after the test."""
    with pytest.raises(RequestError) as caught:
        whole(path)
    assert caught.value.exit_code == 1
    return str(caught.value).replace(str(path.parent), "HERE")


def short(value: object) -> str | None:
    """A test's name for a profile: its last line."""
    return value.splitlines()[-1] if isinstance(value, str) and "\n" in value else None


# What is in it


def test_the_catalog_has_the_arches_toolchains_and_profiles_of_the_readme(catalog: Catalog) -> None:
    assert set(catalog.arches) == set(ARCHES)
    assert {"gcc-12", "gcc-13", "gcc-14", "clang-17", "clang-18", "clang-19"} == set(catalog.toolchains)
    assert {"defconfig", "allnoconfig", "allmodconfig"} <= set(catalog.bases)
    assert set(list_profile_names()) == {"kvm-vfio", "quick"}


@pytest.mark.parametrize("name", list_profile_names())
def test_every_built_in_profile_uses_names_that_the_catalog_has(name: str, catalog: Catalog) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    assert catalog.with_profile(profile).arches == catalog.arches


def test_the_default_profile_is_the_story() -> None:
    profile = load_profile("kvm-vfio")
    assert profile.arch == ARCHES
    assert profile.toolchain == ("gcc-14", "clang-19")
    assert profile.base == ("defconfig",)
    assert profile.symbols == {"KVM": ("n", "m", "y"), "MODULES": ("n", "y"), "VFIO": ("n", "m", "y")}
    assert profile.stage == "focus"
    assert profile.focus[:2] == ("arch/{srcarch}/kvm/", "drivers/vfio/")
    assert profile.source == "debian:linux-source-6.12"


def test_powerpcs_defconfig_is_ppc64le_defconfig_and_the_others_have_their_own(catalog: Catalog) -> None:
    targets = {arch: catalog.find_base_target(arch, "defconfig") for arch in ARCHES}
    assert targets == {
        "arm64": "defconfig",
        "powerpc": "ppc64le_defconfig",
        "s390": "defconfig",
        "x86": "defconfig",
    }


@pytest.mark.parametrize(
    ("arch", "prefix"),
    [
        ("arm64", "aarch64-linux-gnu-"),
        ("powerpc", "powerpc64le-linux-gnu-"),
        ("s390", "s390x-linux-gnu-"),
        ("x86", "x86_64-linux-gnu-"),
    ],
)
def test_gcc_builds_with_the_cross_prefix_of_the_arch(catalog: Catalog, arch: str, prefix: str) -> None:
    for toolchain in ("gcc-12", "gcc-13", "gcc-14"):
        made = catalog.build_make_variables(arch, toolchain)
        assert made == {"ARCH": arch, "CROSS_COMPILE": prefix}
        assert next(iter(made)) == "ARCH"


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("toolchain", ["clang-18", "clang-19"])
def test_clang_builds_with_all_of_llvm(catalog: Catalog, arch: str, toolchain: str) -> None:
    assert catalog.build_make_variables(arch, toolchain) == {"ARCH": arch, "LLVM": "1"}


def test_clang_17_on_s390_takes_the_gnu_linker(catalog: Catalog) -> None:
    made = catalog.build_make_variables("s390", "clang-17")
    assert (made["ARCH"], made["CC"], made["CROSS_COMPILE"]) == ("s390", "clang", "s390x-linux-gnu-")
    assert not {"LLVM", "LD"} & made.keys()
    assert catalog.build_make_variables("x86", "clang-17") == {"ARCH": "x86", "LLVM": "1"}


# Knobs


def test_a_symbol_without_a_knob_takes_and_proves_itself(catalog: Catalog) -> None:
    setting = catalog.find_setting("x86", "MODULES", "n")
    assert setting.set == setting.proof == {"MODULES": "n"}


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("value", ["m", "y"])
def test_kvm_wanted_turns_virtualization_on(catalog: Catalog, arch: str, value: str) -> None:
    # Without VIRTUALIZATION the menu that holds KVM is not there at all. x86 has it on by default.
    assert catalog.find_setting(arch, "KVM", value).set["VIRTUALIZATION"] == "y"


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("value", ["n", "m", "y"])
def test_what_proves_kvm_is_among_what_was_asked_for_or_is_kvm_itself(
    catalog: Catalog, arch: str, value: str
) -> None:
    setting = catalog.find_setting(arch, "KVM", value)
    assert setting.proof
    assert all(setting.set.get(symbol, content) == content for symbol, content in setting.proof.items())


def test_kvm_on_powerpc_is_asked_for_through_the_tristate_that_selects_it(catalog: Catalog) -> None:
    for value in "nmy":
        setting = catalog.find_setting("powerpc", "KVM", value)
        assert setting.set["KVM_BOOK3S_64"] == value
        assert "KVM" not in setting.set
    assert catalog.find_setting("powerpc", "KVM", "m").proof == {"KVM_BOOK3S_64": "m"}
    assert catalog.find_setting("powerpc", "KVM", "n").proof == {"KVM": "n"}
    assert catalog.find_setting("powerpc", "KVM", "y").proof["KVM"] == "y"


@pytest.mark.parametrize("arch", ["arm64", "s390"])
@pytest.mark.parametrize("value", ["n", "m", "y"])
def test_kvm_on_arm64_and_s390_is_proven_by_itself(catalog: Catalog, arch: str, value: str) -> None:
    setting = catalog.find_setting(arch, "KVM", value)
    assert setting.set["KVM"] == value
    assert setting.proof == {"KVM": value}


@pytest.mark.parametrize("value", ["m", "y"])
def test_kvm_on_x86_brings_a_vendor_module_and_proves_it(catalog: Catalog, value: str) -> None:
    setting = catalog.find_setting("x86", "KVM", value)
    assert setting.set["KVM"] == setting.proof["KVM"] == value
    vendors = {name for name, content in setting.proof.items() if content == value} - {"KVM"}
    assert vendors
    assert vendors <= {"KVM_INTEL", "KVM_AMD"}


# Profiles of a user's own


def test_a_users_profile_needs_little_and_is_named_by_its_file(write: Write) -> None:
    profile = load_profile(str(write(WORKING)))
    assert (profile.name, profile.arch, profile.base) == ("story", ("x86",), ("defconfig",))


def test_a_profile_brings_bases_toolchains_and_knobs_of_its_own(write: Write) -> None:
    profile, catalog = whole(
        write(
            """\
            arch = ["x86", "s390"]
            toolchain = ["theirs", "gcc-14"]
            base = ["corner", "dice"]
            focus = ["net/"]
            [symbols]
            NET = ["y"]
            [bases.corner]
            target = "allnoconfig"
            arch.s390 = "defconfig"
            fragment = ["CONFIG_PCI=y", "more.config"]
            [bases.dice]
            target = "randconfig"
            seed = 7
            [toolchains.theirs]
            image = "registry.example/gcc@sha256:0123"
            make = { CROSS_COMPILE = "{triplet}-", KCFLAGS = "-O1" }
            [knobs.NET.x86.y]
            set = { NET = "y", INET = "y" }
            proof = { INET = "y" }
            """
        )
    )
    assert profile.base == ("corner", "dice")
    assert catalog.find_base_target("x86", "corner") == "allnoconfig"
    assert catalog.find_base_target("s390", "corner") == "defconfig"
    assert catalog.bases["dice"].seed == 7
    assert catalog.build_make_variables("x86", "theirs")["CROSS_COMPILE"] == "x86_64-linux-gnu-"
    assert catalog.find_setting("x86", "NET", "y").proof == {"INET": "y"}
    assert catalog.find_setting("s390", "NET", "y").proof == {"NET": "y"}
    assert "gcc-14" in catalog.toolchains


def test_a_profiles_knob_for_one_arch_leaves_the_other_arches_knobs(write: Write) -> None:
    _, catalog = whole(
        write(
            f'{WORKING}[knobs.KVM.x86.y]\nset = {{ KVM = "y", KVM_AMD = "y" }}\nproof = {{ KVM_AMD = "y" }}\n'
        )
    )
    assert catalog.find_setting("x86", "KVM", "y").proof == {"KVM_AMD": "y"}
    assert catalog.find_setting("powerpc", "KVM", "m").proof == {"KVM_BOOK3S_64": "m"}


def test_the_built_in_catalog_does_not_change_when_a_profile_is_put_over_it(
    write: Write, catalog: Catalog
) -> None:
    profile = load_profile(str(write(f'{WORKING}[bases.corner]\ntarget = "allnoconfig"\n')))
    assert "corner" in catalog.with_profile(profile).bases
    assert "corner" not in catalog.bases


def test_the_files_that_a_profile_names_are_beside_it_and_kconfig_lines_are_left_alone(write: Write) -> None:
    path = write(
        f"""{WORKING}patch = ["fix.patch", "/abs/other.patch"]
[bases.corner]
file = "corner.config"
fragment = ["CONFIG_PCI=y", "# CONFIG_NET is not set", "more.config"]
"""
    )
    profile = load_profile(str(path))
    assert profile.patch == (str(path.parent / "fix.patch"), "/abs/other.patch")
    base = profile.bases["corner"]
    assert base.file == str(path.parent / "corner.config")
    assert base.fragment == ("CONFIG_PCI=y", "# CONFIG_NET is not set", str(path.parent / "more.config"))


def test_a_config_file_may_have_an_equals_sign_in_its_name(write: Write) -> None:
    path = write(f'{WORKING}[bases.corner]\nfile = "KVM=y.config"\n')
    assert load_profile(str(path)).bases["corner"].file == str(path.parent / "KVM=y.config")


# Refusals: file, key, what was expected, and the nearest valid name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{WORKING}tool-chain = []\n", ["tool-chain", "unknown key", "nearest", "'toolchain'"]),
        (f"{WORKING}failfast = true\n", ["failfast", "unknown key", "'fail-fast'"]),
        (f"{WORKING}fail_fast = true\n", ["fail_fast", "unknown key", "'fail-fast'"]),
        (f'{WORKING}name = "other"\n', ["name", "unknown key"]),
        (f'{WORKING}[bases.b]\ntagret = "defconfig"\n', ["bases.b.tagret", "unknown key", "'target'"]),
        (f'{WORKING}[toolchains.t]\nimgae = "x"\n', ["toolchains.t.imgae", "unknown key", "'image'"]),
        (
            f'{WORKING}[knobs.KVM.x86.y]\nset = {{ KVM = "y" }}\nprof = {{ KVM = "y" }}\n',
            ["knobs.KVM.x86.y"],
        ),
    ],
    ids=short,
)
def test_an_unknown_key_is_refused_with_file_key_and_the_nearest(
    write: Write, text: str, words: list[str]
) -> None:
    said = refusal(write(text))
    assert "story.toml" in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ("jobs = true", "jobs", "integer"),
        ('jobs = "4"', "jobs", "integer"),
        ("jobs = 0", "jobs", "1"),
        ("lanes = -1", "lanes", "1"),
        ('fail-fast = "yes"', "fail-fast", "boolean"),
        ('ccache = "5G"', "ccache", "boolean"),
        ("source = 6.12", "source", "string"),
        ("memory = 4", "memory", "string"),
        ('memory = "much"', "memory", "4G"),
        ('timeout = "soon"', "timeout", "30m"),
        ('timeout = "0"', "timeout", "30m"),
        ('deadline = "2 weeks"', "deadline", "2h"),
        ('stage = "vmlinuz"', "stage", "'vmlinux'"),
        ("select = [1]", "select", "string"),
        ("fixed = { KVM = true }", "fixed.KVM", "string"),
        ("symbols = { KVM = [true] }", "symbols.KVM", "string"),
        ('make = ["W=1"]', "make", "dictionary"),
        ('make = { "W-1" = "1" }', "make", "make variable"),
        ('make = { ARCH = "x86" }', "make.ARCH", "kmatrix's own"),
        ('make = { O = "/tmp" }', "make.O", "kmatrix's own"),
    ],
)
def test_a_wrong_type_or_value_is_refused_with_file_key_and_what_was_expected(
    write: Write, line: str, key: str, expected: str
) -> None:
    said = refusal(write(f"{WORKING}{line}\n"))
    assert "story.toml" in said
    assert key in said
    assert expected in said


def test_a_word_where_a_list_belongs_is_refused_in_tomls_words(write: Write) -> None:
    said = refusal(write(WORKING.replace('["x86"]', '"x86"')))
    assert "story.toml" in said
    assert "arch" in said
    # A profile's author writes TOML: it has arrays (or lists), and no tuples.
    assert "array" in said or "list" in said


def test_a_container_without_a_memory_limit_cannot_be_asked_for(write: Write) -> None:
    # 0 is an engine's word for "no limit".
    assert "memory" in refusal(write(f'{WORKING}memory = "0"\n'))


@pytest.mark.parametrize("key", ["arch", "toolchain"])
def test_a_needed_key_that_is_missing_is_named(write: Write, key: str) -> None:
    lines = [line for line in WORKING.splitlines() if not line.startswith(key)]
    said = refusal(write("\n".join(lines)))
    assert "story.toml" in said
    assert key in said
    assert "needed" in said


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (WORKING.replace('["x86"]', "[]"), "arch"),
        (WORKING.replace('["gcc-14"]', "[]"), "toolchain"),
        (f"base = []\n{WORKING}", "base"),
        (f"{WORKING}[symbols]\nKVM = []\n", "symbols.KVM"),
    ],
    ids=short,
)
def test_an_empty_axis_is_refused(write: Write, text: str, key: str) -> None:
    said = refusal(write(text))
    assert "story.toml" in said
    assert f"{key}: an empty axis" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WORKING.replace("x86", "x68"), ["arch", "'x68'", "'x86'"]),
        (WORKING.replace("gcc-14", "gcc-41"), ["toolchain", "'gcc-41'", "'gcc-1"]),
        (f'base = ["defconfigs"]\n{WORKING}', ["base", "'defconfigs'", "'defconfig'"]),
        (
            f'{WORKING}[knobs.KVM.powerpcc.y]\nset = {{ KVM = "y" }}\nproof = {{ KVM = "y" }}\n',
            ["'powerpcc'", "'powerpc'"],
        ),
        (
            f'{WORKING}[toolchains.t]\nimage = "i"\narch.powerpcc = {{ CC = "cc" }}\n',
            ["'powerpcc'", "'powerpc'"],
        ),
        (
            f'{WORKING}[bases.b]\ntarget = "defconfig"\narch.powerpcc = "ppc64_defconfig"\n',
            ["'powerpcc'", "'powerpc'"],
        ),
    ],
    ids=short,
)
def test_an_unknown_name_is_refused_with_the_nearest(write: Write, text: str, words: list[str]) -> None:
    said = refusal(write(text))
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    "text", [WORKING.replace("x86", "x68"), WORKING.replace("gcc-14", "gcc-41")], ids=["arch", "toolchain"]
)
def test_an_unknown_name_is_refused_by_file(write: Write, text: str) -> None:
    assert "story.toml" in refusal(write(text))


@pytest.mark.parametrize("table", ["symbols]\nCONFIG_KVM = ['y']", "fixed]\nCONFIG_KVM = 'y'"])
def test_a_symbol_with_the_prefix_is_refused(write: Write, table: str) -> None:
    said = refusal(write(f"{WORKING}[{table}\n"))
    assert "story.toml" in said
    assert "CONFIG_KVM" in said
    assert "prefix" in said


@pytest.mark.parametrize("name", ["'KVM-VFIO'", "''", "'K V'"])
def test_what_is_no_symbols_name_is_refused(write: Write, name: str) -> None:
    said = refusal(write(f"{WORKING}[symbols]\n{name} = ['y']\n"))
    assert "story.toml" in said
    assert "symbols" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'{WORKING}[symbols]\nKVM = ["y"]\n[fixed]\nKVM = "y"\n', ["KVM", "fixed"]),
        (WORKING.replace('["x86"]', '["x86", "x86"]'), ["arch", "'x86'", "twice"]),
        (f'{WORKING}[symbols]\nKVM = ["y", "n", "y"]\n', ["KVM", "'y'", "twice"]),
        (WORKING.replace("focus", "select"), ["stage focus", "focus"]),
        (f'{WORKING}[bases.b]\ntarget = "defconfig"\nfile = "f"\n', ["bases.b", "either target or file"]),
        (f"{WORKING}[bases.b]\n", ["bases.b", "either target or file"]),
        (f'{WORKING}[bases.b]\ntarget = "randconfig"\n', ["bases.b", "seed"]),
        (f'{WORKING}[bases.b]\ntarget = "defconfig"\nseed = 1\n', ["bases.b", "seed"]),
        (f"{WORKING}[toolchains.t]\nversion = 14\n", ["toolchains.t", "image"]),
        (
            f'{WORKING}[toolchains.t]\ntemplate = "gcc"\nversion = 14\nimage = "i"\n',
            ["toolchains.t", "image"],
        ),
    ],
    ids=short,
)
def test_what_contradicts_itself_is_refused(write: Write, text: str, words: list[str]) -> None:
    said = refusal(write(text))
    assert "story.toml" in said
    for word in words:
        assert word in said


@pytest.mark.parametrize("text", ["arch = [", "arch = ['x86']\narch = ['s390']\n", "= 1", "arch x86"])
def test_malformed_toml_is_refused_with_file_and_line(write: Write, text: str) -> None:
    said = refusal(write(text))
    assert "story.toml" in said
    assert "TOML" in said
    assert "line" in said or "end of document" in said


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_bytes(b"arch = ['\xff\xfe']")
    assert "story.toml" in refusal(path)


def test_a_profile_that_is_not_there_is_refused_with_its_path(tmp_path: Path) -> None:
    assert "HERE/absent.toml" in refusal(tmp_path / "absent.toml")
    assert f"HERE/{tmp_path.name}" in refusal(tmp_path)


def test_an_unknown_built_in_profile_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"'kvmvfio'.*'kvm-vfio'") as caught:
        load_profile("kvmvfio")
    assert "quick" in caught.value.hint


# Sizes and durations


@pytest.mark.parametrize(
    ("text", "count"),
    [("512M", 512 * 2**20), ("4G", 4 * 2**30), ("4g", 4 * 2**30), ("1T", 2**40), ("8K", 8192), ("77", 77)],
)
def test_sizes_are_bytes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "G", "4 G", "4GB", "-1", "1.5G", "4X", "4G4"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="4G"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "count"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400)]
)
def test_durations_are_seconds(text: str, count: int) -> None:
    assert parse_duration(text) == count


@pytest.mark.parametrize("text", ["", "0", "0h", "-5m", "1.5h", "2 h", "2w", "h"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="30m"):
        parse_duration(text)


# The arch and the values of a .config


@pytest.mark.parametrize(
    ("symbols", "named", "arch"),
    [
        ({"PPC": "y"}, None, "powerpc"),
        ({"X86": "y"}, "x86_64", "x86"),
        ({"ARM64": "y"}, "powerpc", "arm64"),
        ({"RISCV": "y"}, "riscv", "riscv"),
        ({"PPC": "n"}, None, None),
    ],
)
def test_a_config_is_for_the_arch_of_its_symbol_or_else_of_its_head(
    catalog: Catalog, symbols: dict[str, str], named: str | None, arch: str | None
) -> None:
    assert catalog.detect_arch(Config(symbols), named) == arch


def test_every_arch_has_a_symbol_of_its_own(catalog: Catalog) -> None:
    assert len({row.symbol for row in catalog.arches.values()}) == len(catalog.arches)


def test_a_symbol_stands_at_the_first_value_that_is_proven_or_else_at_its_own(catalog: Catalog) -> None:
    config = Config({"KVM": "y", "KVM_BOOK3S_64": "m"})
    assert catalog.match_symbol_value("powerpc", "KVM", ("n", "m", "y"), config) == "m"
    assert catalog.match_symbol_value("powerpc", "KVM", ("n", "y"), config) == "y"
    assert catalog.match_symbol_value("arm64", "KVM", ("n", "m", "y"), config) == "y"
