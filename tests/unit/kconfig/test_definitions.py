"""What Kconfig files define, read from their text."""

from pathlib import Path
from textwrap import dedent

import pytest

from matrix.kconfig.definitions import Definitions, Selector, collect_definitions, read_tree_definitions
from matrix.kconfig.kconfig_file import Definition


def _scanned(text: str) -> Definitions:
    return collect_definitions({"Kconfig": dedent(text)})


def _only(text: str, name: str = "A") -> Definition:
    (definition,) = _scanned(text).find_definitions(name)
    return definition


def test_an_entry_gives_type_prompt_dependencies_and_selections() -> None:
    definition = _only(
        """\
        # a comment
        menuconfig A
        \ttristate "A driver" if EXPERT
        \tselect IOMMU_API
        \tdepends on IOMMUFD || !IOMMUFD
        \tdepends on PCI
        \tselect B if C || D=n
        \timply E if F
        \tdefault y if G
        """
    )
    assert definition == Definition(
        name="A",
        type="tristate",
        prompt=True,
        depends=("IOMMUFD || !IOMMUFD", "PCI"),
        selects=(("IOMMU_API", None), ("B", "C || D=n")),
        implies=(("E", "F"),),
        file="Kconfig",
        line=2,
        prompt_if="EXPERT",
    )


@pytest.mark.parametrize(
    ("lines", "type_", "prompt"),
    [
        ("bool", "bool", False),
        ('bool "A"', "bool", True),
        ("def_bool y", "bool", False),
        ("def_tristate KVM if (KVM_INTEL != n)", "tristate", False),
        ('def_tristate y\n  prompt "A"', "tristate", True),
        ("int\n  prompt 'A'", "int", True),
        ("hex 'Address' if B", "hex", True),
        ("string", "string", False),
        ("default y", None, False),
        ('bool "A \\"quoted\\" if B" # if C', "bool", True),
    ],
)
def test_types_and_prompts_have_many_spellings(lines: str, type_: str | None, prompt: bool) -> None:
    definition = _only(f"config A\n  {lines}\n")
    assert (definition.type, definition.prompt) == (type_, prompt)


def test_a_prompt_s_condition_is_not_looked_for_in_its_text() -> None:
    assert _only('config A\n\tbool "only if B" if C && D\n').prompt_if == "C && D"
    assert _only('config A\n\tbool "only if B"\n').prompt_if is None


def test_help_ends_where_the_indentation_does() -> None:
    definition = _only(
        """\
        config A
        \tbool
        \thelp
        \t  The first line sets the depth:

        \t    select DEEPER
        \t  depends on NOTHING
        \t  config NOT_A_SYMBOL
        \t  a backslash at the end joins nothing \\
        \tselect B
        \tdepends on C
        config D
        \tbool
        """
    )
    assert (definition.selects, definition.depends) == ((("B", None),), ("C",))


def test_help_in_other_indentation_and_the_old_spelling_end_at_the_next_entry() -> None:
    text = "config A\n    bool\n    ---help---\n\tconfig X\n\nconfig B\n\tbool\n\thelp\nconfig C\n\tint\n"
    assert set(_scanned(text).by_name) == {"A", "B", "C"}


def test_a_tab_reaches_to_the_eighth_column() -> None:
    text = "config A\n\tbool\n\thelp\n          ten spaces\n\t   select B\n\tselect C\n"
    assert _only(text).selects == (("C", None),)


def test_a_backslash_continues_a_line() -> None:
    definition = _only("config A\n\tbool\n\tdepends on B && \\\n\t\tC \\\n\t\t|| D\n\tselect E\n")
    assert [part.split() for part in definition.depends] == [["B", "&&", "C", "||", "D"]]
    assert definition.selects == (("E", None),)


def test_a_comment_ends_a_line_but_not_inside_strings_and_macros() -> None:
    text = """\
    config A # the first
    \tdepends on B="#1" # one
    \tdepends on $(success,echo '#' (#) #x) # two
    \tselect C # three
    """
    definition = _only(text)
    assert definition.depends == ('B="#1"', "$(success,echo '#' (#) #x)")
    assert definition.selects == (("C", None),)


def test_enclosing_blocks_add_their_conditions_from_the_inside_out() -> None:
    text = """\
    if A
    menu "Some"
    \tdepends on B
    \tvisible if Z
    config IN_MENU
    \tbool
    \tdepends on C
    choice
    \tprompt "One of"
    \tdepends on D
    config IN_CHOICE
    \tbool "this"
    endchoice
    comment "not here"
    \tdepends on X
    if E
    config IN_IF
    \tbool
    endif # E
    endmenu
    config AFTER_MENU
    \tbool
    endif
    config OUTSIDE
    \tbool
    """
    found = _scanned(text)
    depends = {name: found.find_definitions(name)[0].depends for name in found.by_name}
    assert depends == {
        "IN_MENU": ("C", "B", "A"),
        "IN_CHOICE": ("D", "B", "A"),
        "IN_IF": ("E", "B", "A"),
        "AFTER_MENU": ("A",),
        "OUTSIDE": (),
    }


def test_a_menuconfig_is_no_block() -> None:
    text = 'menuconfig A\n\tbool "A"\n\tdepends on X\nconfig B\n\tbool\n'
    assert _only(text, "B").depends == ()


def test_assignments_and_macros_are_no_statements() -> None:
    text = "if-success = $(shell,if x)\ncomma := ,\n$(error-if,$(failure,x),config X)\nconfig A\n\tbool\n"
    assert _only(text) == Definition("A", "bool", file="Kconfig", line=4)


def test_a_file_sourced_under_a_condition_depends_on_it() -> None:
    found = collect_definitions(
        {
            "Kconfig": 'mainmenu "x"\nsource "drivers/Kconfig"\n',
            "drivers/Kconfig": 'if PCI\nmenu "m"\n\tdepends on NET\nsource "vfio/Kconfig"\nendmenu\nendif\n',
            "vfio/Kconfig": 'if VFIO\nsource "vfio/pci/Kconfig"\nendif\n',
            "vfio/pci/Kconfig": "config A\n\tbool\n\tdepends on B\n",
        }
    )
    assert [(d.file, d.line, d.depends) for d in found.find_definitions("A")] == [
        ("vfio/pci/Kconfig", 1, ("B", "VFIO", "NET", "PCI"))
    ]


def test_a_file_sourced_twice_defines_twice_and_a_circle_ends() -> None:
    found = collect_definitions(
        {
            "Kconfig": 'if X\nsource "a"\nendif\nsource "a"\n',
            "a": 'config A\n\tbool\nsource "a"\nsource "Kconfig"\n',
        }
    )
    assert [definition.depends for definition in found.find_definitions("A")] == [("X",), ()]


def test_what_the_root_does_not_source_does_not_count() -> None:
    files = {"Kconfig": 'source "a"\n', "a": "config A\n", "b": "config B\n"}
    assert set(collect_definitions(files).by_name) == {"A"}


def test_without_a_root_every_file_that_no_other_one_sources_is_read() -> None:
    files = {"a": "if X\nsource 'b'\nendif\n", "b": "config B\n", "c": "config C\n"}
    assert {name: found[0].depends for name, found in collect_definitions(files).by_name.items()} == {
        "B": ("X",),
        "C": (),
    }


@pytest.mark.parametrize("path", ["arch/$(SRCARCH)/Kconfig", "$(srctree)/arch/$(HEADER_ARCH)/Kconfig"])
def test_a_macro_in_a_path_stands_for_a_directory(path: str) -> None:
    found = collect_definitions(
        {
            "Kconfig": f'source "{path}"\n',
            "arch/s390/Kconfig": "config A\n",
            "arch/s390/kvm/Kconfig": "config B\n",
        }
    )
    assert set(found.by_name) == {"A"}


def test_selectors_come_with_their_conditions_each_once() -> None:
    found = _scanned(
        """\
        config A
        \tselect T
        \tselect T
        config B
        \tselect T if C && D
        \timply U
        """
    )
    assert found.find_selectors("T") == (Selector("A", None), Selector("B", "C && D"))
    assert found.find_selectors("U") == found.find_selectors("NOSUCH") == ()


def test_the_nearest_name_is_offered_where_one_is_near() -> None:
    found = _scanned("config KVM_BOOK3S_64\nconfig VFIO\n")
    assert found.find_nearest_symbol("kvm_book3s64") == "KVM_BOOK3S_64"
    assert found.find_nearest_symbol("ETHERNET") is None


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_tree_is_read_for_one_arch(tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "Kconfig": 'source "arch/$(SRCARCH)/Kconfig"\nsource "lib/Kconfig.debug"\n',
            "arch/Kconfig": "config COMMON\n\tbool\n",
            "arch/x86/Kconfig": 'config X86\n\tbool\nsource "arch/Kconfig"\n',
            "arch/s390/Kconfig": 'config S390\n\tbool\nsource "arch/Kconfig"\n',
            "lib/Kconfig.debug": "config DEBUG\n\tbool\n",
        },
    )
    assert set(read_tree_definitions(tmp_path, "s390").by_name) == {"S390", "COMMON", "DEBUG"}
    assert set(read_tree_definitions(tmp_path, "x86").by_name) == {"X86", "COMMON", "DEBUG"}


def test_directories_that_are_no_part_of_the_kernel_are_not_read(tmp_path: Path) -> None:
    places = (
        "tools",
        "scripts/kconfig",
        "scripts/gcc-plugins",
        ".git",
        "Documentation",
        "Documentation/kbuild",
        "lib",
    )
    _write(tmp_path, {f"{place}/Kconfig": f"config {place}\n" for place in places})
    assert set(read_tree_definitions(tmp_path, "x86").by_name) == {
        "Documentation",
        "lib",
        "scripts/gcc-plugins",
    }


def test_a_directory_of_such_a_name_deeper_down_is_read(tmp_path: Path) -> None:
    _write(tmp_path, {"samples/tools/Kconfig": "config SAMPLE\n"})
    assert set(read_tree_definitions(tmp_path, "x86").by_name) == {"SAMPLE"}


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_bytes(b'config A\n\tbool "caf\xe9"\n')
    assert read_tree_definitions(tmp_path, "x86").find_definitions("A")[0].prompt
