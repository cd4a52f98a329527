"""What JSON and scripts beside a log say of a build."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.foreign_builds.build_facts import BuildFacts, collect_build_facts
from tests.fakes.foreign_builds import GCC, TUXMAKE

NESTED = {
    "build": {"duration": 315.7, "status": "PASS"},
    "environment": {"arch": "arm64", "compiler": "gcc", "compiler_version_full": GCC, "name": "gcc-8"},
    "revision": {"describe": "v5.10-rc1-7-g0123456", "describe_verbose": "v5.10-rc1-7-g0123456789ab"},
}
FLAT = {
    "arch": "x86_64",
    "build_environment": "gcc-8",
    "compiler_version_full": "gcc (Debian 8.3.0-6) 8.3.0",
    "git_describe": "v5.9",
    "status": "FAIL",
}
KERNELCI = {
    "build": {
        "arch": "x86_64",
        "compiler": "clang-17",
        "compiler_version": "Debian clang version 17.0.6 (5)",
        "defconfig": "defconfig",
        "srcdir": "/tmp/kci/linux",
        "result": "pass",
    }
}


def read(*data: Any) -> BuildFacts:
    return collect_build_facts({str(number): json.dumps(item) for number, item in enumerate(data)})


def test_what_tuxmake_says_of_a_build_that_failed() -> None:
    facts = collect_build_facts({"metadata.json": (TUXMAKE / "1" / "metadata.json").read_text()})
    assert facts == BuildFacts(
        arch="powerpc",
        compiler=GCC,
        succeeded=False,
        compiled=True,
        version="6.12.0-mini",
        targets=("arch/powerpc/kvm/", "drivers/vfio/"),
    )


def test_what_tuxmake_says_of_a_build_that_passed() -> None:
    facts = collect_build_facts({"metadata.json": (TUXMAKE / "2" / "metadata.json").read_text()})
    assert (facts.succeeded, facts.compiled) == (True, True)


def test_what_kernelci_said_until_2023() -> None:
    facts = read(NESTED)
    assert (facts.arch, facts.compiler, facts.succeeded) == ("arm64", GCC, True)
    assert facts.revision == "v5.10-rc1-7-g0123456"
    facts = read(FLAT)
    assert (facts.arch, facts.compiler, facts.succeeded) == ("x86_64", "gcc (Debian 8.3.0-6) 8.3.0", False)


def test_what_kernelci_says() -> None:
    facts = read(KERNELCI)
    assert facts.compiler == "Debian clang version 17.0.6 (5)"
    assert (facts.succeeded, facts.source_root, facts.compiled) == (True, "/tmp/kci/linux", None)


def test_the_first_file_that_says_a_thing_counts() -> None:
    facts = read({"build": {"target_arch": "arm64"}}, {**FLAT, "arch": "x86_64"})
    assert (facts.arch, facts.succeeded) == ("arm64", False)
    assert read({"results": {"status": "FAIL"}}, {"status": "PASS"}).succeeded is False


@pytest.mark.parametrize(
    ("results", "succeeded", "compiled"),
    [
        ({"status": "PASS", "targets": {"config": {"status": "PASS"}}}, True, False),
        (
            {"status": "PASS", "targets": {"config": {"status": "PASS"}, "modules": {"status": "SKIP"}}},
            True,
            False,
        ),
        ({"status": "WARNING", "targets": {"kernel": {"status": "PASS"}}}, True, True),
        ({"status": "FAIL", "targets": {"config": {"status": "FAIL"}}}, False, False),
        ({"status": "SKIP"}, None, None),
        ({"status": ["PASS"]}, None, None),
        ({}, None, None),
    ],
)
def test_a_build_is_what_its_targets_are(
    results: dict[str, Any],
    succeeded: bool | None,
    compiled: bool | None,
) -> None:
    facts = read({"results": results})
    assert (facts.succeeded, facts.compiled) == (succeeded, compiled)


def test_a_build_that_was_killed_has_no_results() -> None:
    # tuxmake writes what it knows before make is run.
    assert read({"build": {"target_arch": "x86_64"}, "compiler": {"version_full": GCC}}).succeeded is None


def test_only_targets_of_make_are_parts() -> None:
    assert read({"build": {"targets": ["config", "make:drivers/vfio/"]}}).targets == ("drivers/vfio/",)
    assert read({"build": {"targets": ["config", "kernel", "make:drivers/vfio/"]}}).targets is None
    assert read({"build": {"targets": ["config", 7]}}).targets is None


def test_the_robots_script() -> None:
    script = "#!/bin/sh\n COMPILER_INSTALL_PATH=$HOME/0day COMPILER=gcc-12.1.0 make.cross O=b ARCH=powerpc\n"
    assert collect_build_facts({"reproduce": script}) == BuildFacts(arch="powerpc", compiler="gcc-12.1.0")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "7", '"x"', "[" * 100_000, '{"build": []}', '{"arch": {}}']
)
def test_what_is_no_metadata_says_nothing(text: str) -> None:
    assert collect_build_facts({"metadata.json": text}) == BuildFacts()


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["build", "results", "status", "targets", "compiler", "arch", "environment"]),
            inner,
        )
    ),
)


@given(any_json)
def test_no_json_makes_it_raise(data: object) -> None:
    facts = read(data)
    assert facts.succeeded in (None, True, False)
    assert all(isinstance(text, str | None) for text in (facts.arch, facts.compiler, facts.version))
