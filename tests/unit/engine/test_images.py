"""Images: what a tag stands for, what is built when, and where the root file system comes from."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jinja2
import pytest

from matrix.catalog.types import ROOT_IMAGE, RootImage
from matrix.engine import images
from matrix.engine.bootstrap import HostSystem, ensure_root_image
from matrix.engine.images import ImageRecipe
from matrix.engine.protocol import ContainerSpec, LineCallback
from matrix.errors import EngineError, MachineError, RequestError
from matrix.record.events import ProgressEvent
from tests.fakes.engine import FakeEngine

GCC = ImageRecipe("gcc-14", "gcc", 14)
CLANG = ImageRecipe("clang-19", "clang", 19)


@dataclass
class Heard:
    """What was emitted."""

    events: list[ProgressEvent] = field(default_factory=list)

    def __call__(self, event: ProgressEvent) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        return "\n".join(getattr(event, "text", "") for event in self.events)


@dataclass(frozen=True)
class FakeHost(HostSystem):
    """A machine with some programs; apt-get installs what it is told to."""

    programs: set[str] = field(default_factory=set)
    root: bool = True
    exit: int = 0
    ran: list[str] = field(default_factory=list)

    def has_program(self, program: str) -> bool:
        return program in self.programs

    def is_root(self) -> bool:
        return self.root

    def run_program(
        self, command: Sequence[str], on_line: LineCallback, env: Mapping[str, str] | None = None
    ) -> int:
        assert env == {"DEBIAN_FRONTEND": "noninteractive"}, "nobody is there to answer questions"
        self.ran.append(command[0])
        on_line(f"E: {command[0]} says so")
        if command[0] == "mmdebstrap" and not self.exit:
            Path(command[-1]).write_bytes(b"tar")
        if "install" in command:
            self.programs.update(command)
        return self.exit


def test_a_tag_is_the_name_and_a_hash_of_the_recipe() -> None:
    assert images.compute_image_tag("base", "FROM x\n") == "kmatrix/base:5e50475e952e"
    assert images.compute_image_tag("base", "FROM y\n") != images.compute_image_tag("base", "FROM x\n")


def test_a_name_that_no_image_may_have_is_spelt_otherwise() -> None:
    assert images.compute_image_tag("My GCC_14!", "FROM x\n").startswith("kmatrix/my-gcc-14:")


def test_a_toolchains_tag_changes_with_its_parent() -> None:
    one, other = (
        images.render_dockerfile("gcc-14", "gcc", 14, parent)
        for parent in ("kmatrix/base:1", "kmatrix/base:2")
    )
    assert one.replace("kmatrix/base:1", "kmatrix/base:2") == other
    assert images.compute_image_tag("gcc-14", one) != images.compute_image_tag("gcc-14", other)


def test_an_edited_template_is_another_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for template in images.DOCKERFILES_DIR.iterdir():
        (tmp_path / template.name).write_text(template.read_text())
    before = (images.compute_base_tag(), GCC.tag)
    edited = jinja2.Environment(loader=jinja2.FileSystemLoader(tmp_path), keep_trailing_newline=True)
    monkeypatch.setattr(images, "_load_templates", lambda: edited)
    assert (images.compute_base_tag(), GCC.tag) == before
    (tmp_path / "base.Dockerfile.j2").write_text("FROM {{ parent }}\nRUN true\n")
    assert images.compute_base_tag() != before[0]
    assert GCC.tag != before[1], "an image that stands on the edited one is another one, too"


def test_versions_differ_in_nothing_but_the_version() -> None:
    twelve, fourteen = (images.render_dockerfile("gcc", "gcc", version, "p") for version in (12, 14))
    assert "gcc-12" in twelve
    assert twelve.replace("12", "14") == fourteen


def test_every_template_names_all_four_machines_and_needs_no_particular_builder() -> None:
    for blueprint in (GCC, CLANG, replace(GCC, with_ccache=True)):
        for triplet in ("aarch64-linux-gnu", "powerpc64le-linux-gnu", "s390x-linux-gnu", "x86_64-linux-gnu"):
            assert triplet in blueprint.dockerfiles[-1].replace("x86-64", "x86_64")
        assert "--mount" not in blueprint.dockerfiles[-1]
        assert "<<" not in blueprint.dockerfiles[-1]


def test_a_recipe_of_another_suite_is_another_image_on_another_root() -> None:
    other = ImageRecipe("gcc-14", "gcc", 14, RootImage("sid"))
    assert other.tag != GCC.tag
    assert other.dockerfiles[0].startswith("FROM kmatrix/root:sid\n")
    engine = FakeEngine(registry=["debian:sid-slim"])
    images.ensure_toolchain_image(engine, other, Heard())
    assert list(engine.built) == [images.compute_base_tag(other.root), other.tag]


def test_a_template_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(RequestError, match="'tcc'") as caught:
        images.render_dockerfile("tcc-1", "tcc", 1, "p")
    assert caught.value.hint == "the templates are: clang, gcc"


def test_ensure_builds_what_is_missing_from_the_ground_up_and_only_once() -> None:
    engine = FakeEngine(registry=[ROOT_IMAGE.upstream])
    made = images.ensure_toolchain_image(engine, GCC, Heard())
    assert list(engine.built) == [images.compute_base_tag(), GCC.tag]
    assert made == engine.find_image_id(GCC.tag)
    heard = Heard()
    assert images.ensure_toolchain_image(engine, GCC, heard) == made
    assert heard.events == []
    images.ensure_toolchain_image(engine, CLANG, Heard())
    assert list(engine.built) == [images.compute_base_tag(), GCC.tag, CLANG.tag]


def test_ccache_is_a_layer_on_top_of_an_image_that_stays_what_it_is() -> None:
    layered = replace(GCC, with_ccache=True)
    *below, top = layered.dockerfiles
    assert tuple(below) == GCC.dockerfiles
    assert top.startswith(f"FROM {GCC.tag}\n")
    assert layered.tag.startswith("kmatrix/gcc-14-ccache:")
    assert layered.tag == images.compute_image_tag("gcc-14-ccache", top)
    engine = FakeEngine(images=[images.compute_base_tag(), GCC.tag])
    made = images.ensure_toolchain_image(engine, layered, Heard())
    assert list(engine.built) == [layered.tag], "the image below is taken as it is"
    assert made == engine.find_image_id(layered.tag) != engine.find_image_id(GCC.tag)


def test_a_failed_build_is_the_engines_error_and_leaves_no_image() -> None:
    engine = FakeEngine(images=[ROOT_IMAGE.tag])
    engine.build_fails = "E: Unable to locate package gcc-14"
    with pytest.raises(EngineError, match="Unable to locate package"):
        images.ensure_toolchain_image(engine, GCC, Heard())
    assert engine.find_image_id(GCC.tag) is None


def test_a_named_image_is_used_or_pulled_or_refused() -> None:
    engine = FakeEngine(images=["here@sha256:1"], registry=["there@sha256:2"])
    heard = Heard()
    assert images.ensure_named_image(engine, "here@sha256:1", heard) == engine.find_image_id("here@sha256:1")
    assert heard.events == []
    assert images.ensure_named_image(engine, "there@sha256:2", heard) == engine.find_image_id(
        "there@sha256:2"
    )
    with pytest.raises(EngineError, match="nowhere@sha256:3") as caught:
        images.ensure_named_image(engine, "nowhere@sha256:3", heard)
    assert "try again: fake pull nowhere@sha256:3" in caught.value.hint


def test_first_lines_asks_for_all_in_one_container() -> None:
    def versions(container: ContainerSpec, on_line: LineCallback) -> int:
        for command in container.command[4:]:
            on_line(f"{command} 1.0")
        return 0

    engine = FakeEngine(versions, images=["i"])
    assert images.read_first_lines(engine, "i", ["cc", "ld"], "1:1") == ["cc 1.0", "ld 1.0"]
    [container] = engine.ran
    assert container.user == "1:1"
    assert container.limits.seconds


def test_first_lines_of_an_image_without_shell_is_an_error() -> None:
    engine = FakeEngine(lambda _container, _on_line: 127, images=["i"])
    with pytest.raises(EngineError, match="exit 127"):
        images.read_first_lines(engine, "i", ["cc --version"], "1:1")


class TestRootFileSystem:
    def test_one_that_is_there_is_used_in_silence(self) -> None:
        engine, heard, host = (
            FakeEngine(images=[ROOT_IMAGE.tag], registry=[ROOT_IMAGE.upstream]),
            Heard(),
            FakeHost(),
        )
        assert ensure_root_image(engine, heard, host=host) == engine.find_image_id(ROOT_IMAGE.tag)
        assert heard.events == []

    def test_it_is_pulled_when_a_registry_answers_and_says_so(self) -> None:
        engine, heard, host = FakeEngine(registry=[ROOT_IMAGE.upstream]), Heard(), FakeHost()
        assert (
            ensure_root_image(engine, heard, host=host)
            == engine.find_image_id(ROOT_IMAGE.tag)
            == engine.find_image_id(ROOT_IMAGE.upstream)
        )
        assert "was pulled" in heard.text
        assert host.ran == []

    def test_it_is_bootstrapped_when_no_registry_answers_and_says_so(self) -> None:
        engine, heard, host = FakeEngine(), Heard(), FakeHost({"mmdebstrap"}, root=False)
        assert ensure_root_image(engine, heard, host=host) == engine.find_image_id(ROOT_IMAGE.tag)
        assert host.ran == ["mmdebstrap"]
        assert "was bootstrapped with mmdebstrap" in heard.text
        assert "was pulled" not in heard.text

    def test_mmdebstrap_is_installed_where_that_is_allowed(self) -> None:
        engine, heard, host = FakeEngine(), Heard(), FakeHost({"apt-get"})
        ensure_root_image(engine, heard, install=True, host=host)
        assert host.ran == ["apt-get", "apt-get", "mmdebstrap"]
        assert "Installing mmdebstrap" in heard.text

    @pytest.mark.parametrize(
        ("install", "root", "programs"),
        [(False, True, {"apt-get"}), (True, False, {"apt-get"}), (True, True, set())],
        ids=["no consent", "not root", "no apt-get"],
    )
    def test_otherwise_the_command_to_type_is_told(
        self, install: bool, root: bool, programs: set[str]
    ) -> None:
        host = FakeHost(programs, root=root)
        with pytest.raises(EngineError, match="mmdebstrap") as caught:
            ensure_root_image(FakeEngine(), Heard(), install=install, host=host)
        assert "install mmdebstrap" in caught.value.hint
        assert host.ran == []

    def test_a_failed_bootstrap_tells_what_was_said(self) -> None:
        engine, host = FakeEngine(), FakeHost({"mmdebstrap"}, exit=25)
        with pytest.raises(MachineError, match="E: mmdebstrap says so"):
            ensure_root_image(engine, Heard(), host=host)
        assert engine.find_image_id(ROOT_IMAGE.tag) is None

    def test_an_engine_that_fails_is_not_a_registry_that_is_silent(self) -> None:
        engine, host = FakeEngine(), FakeHost({"mmdebstrap"})
        engine.broken = "the engine died"
        with pytest.raises(EngineError, match="the engine died"):
            ensure_root_image(engine, Heard(), host=host)
        assert host.ran == []


def test_the_host_gives_output_line_by_line_and_the_exit_code() -> None:
    lines: list[str] = []
    code = HostSystem().run_program(
        ("sh", "-c", 'echo "$GREETING"; echo err >&2; exit 3'), lines.append, {"GREETING": "hi"}
    )
    assert (code, lines) == (3, ["hi", "err"])


def test_a_program_of_the_host_ends_when_the_user_stops_it(tmp_path: Path) -> None:
    # A signal to kmatrix alone, as from a service manager, does not reach the program.
    script = f"trap 'touch {tmp_path}/ended; exit 1' TERM; echo on; while :; do sleep 0.1; done"

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        HostSystem().run_program(("sh", "-c", script), interrupt)
    assert (tmp_path / "ended").exists()
    assert time.monotonic() - started < 10
