"""The one small world in which every row of wrong use is typed."""

import os
from pathlib import Path

from matrix.catalog.load import load_profile
from matrix.commands.session import build_tool_record
from matrix.engine.docker_engine import connect_docker
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.engine.protocol import Engine
from matrix.plan import compute_plan_digest, plan_requests
from matrix.record.run_model import ShardRecord
from tests.fakes.engine import FakeEngine
from tests.fakes.foreign_builds import keep_build, keep_plain_build
from tests.fakes.kernel import Kernel, Made, Symbol
from tests.fakes.runs import the_story
from tests.fakes.small_tree import SMALL_PROFILE, small_tree
from tests.unit.wrong_use.profiles import BASES, TEXTS, WRONG_TYPES

KNOWN = """\
[one]
keys = ["a"]
reason = "slow"
link = "https://example.org/1"
expires = 2030-01-01
"""


class World:
    """A directory with whatever the rows name, and an engine in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.docker_host = f"unix://{root}/nobody.sock"
        kernel = Kernel(
            {"MODULES": Symbol(), "VFIO": Symbol(tristate=True)}, {"drivers/vfio/vfio.o": Made("VFIO")}
        )
        images = [ImageRecipe("gcc-14", "gcc", 14).tag, ImageRecipe("clang-19", "clang", 19).tag]
        self.engine = FakeEngine(kernel, images=[compute_base_tag(), *images])
        small_tree(
            root / "tree", **{"drivers/vfio/vfio.c": "int a;\n", "Kconfig": "config VFIO\n\ttristate 'v'\n"}
        )
        self._write_files()
        self._write_profiles()
        self._write_known_issues()
        self._write_runs()
        self.files = self.list_files()

    def connect_engine(self) -> Engine:
        return self.engine if os.environ["DOCKER_HOST"] == self.docker_host else connect_docker()

    def list_files(self) -> set[str]:
        return {str(path) for path in self.root.rglob("*") if path.relative_to(self.root).parts[0] != "cache"}

    def _write_files(self) -> None:
        root = self.root
        (root / "file").write_text("text\n")
        (root / "blank").touch()
        (root / "binary").write_bytes(bytes(range(256)))
        (root / "noarch.config").write_text("CONFIG_A=y\n")
        (root / "my.config").write_text("CONFIG_PPC=y\nCONFIG_MODULES=y\n")
        (root / "fix.patch").write_text(
            "--- a/Kconfig\n+++ b/Kconfig\n@@ -1 +1 @@\n-config VFIO\n+config VFI\n"
        )
        for name in ("empty", "dir", "dir.toml"):
            (root / name).mkdir()
        (root / "dir" / "thesis.txt").touch()
        keep_plain_build(root / "build", VFIO="y")
        keep_build(root / "garbled", {"build.log": "", "config": "text"})
        keep_build(root / "linked", {"build.log": ""})
        for name, target in (
            ("linked/config", "../my.config"),
            ("loop", "loop"),
            ("dangling", "gone"),
            ("loop.toml", "loop.toml"),
            ("zero.toml", "/dev/zero"),
        ):
            (root / name).symlink_to(target)

    def _write_profiles(self) -> None:
        (self.root / "ok.toml").write_text(SMALL_PROFILE)
        (self.root / "deep.toml").write_text("a = " + "[" * 5000)
        (self.root / "digits.toml").write_text("a = " + "9" * 5000)
        for name, (content, _) in TEXTS.items():
            (self.root / f"{name}-text.toml").write_bytes(content)
        for key, value in WRONG_TYPES.items():
            kept = [
                line
                for line in SMALL_PROFILE.splitlines()
                if not line.startswith((f"{key} =", f"[{key}]", "VFIO"))
            ]
            tables = [line for line in kept if line.startswith("[")]
            others = [line for line in kept if not line.startswith("[")]
            lines = [*others, f"{key} = {value}", *tables]
            (self.root / f"{key}-type.toml").write_text("\n".join(lines))
        for number, text in enumerate(BASES):
            (self.root / f"base{number}.toml").write_text(f"base = ['m']\n{SMALL_PROFILE}{text}\n")

    def _write_known_issues(self) -> None:
        for name, text in {
            "loose": "[one]\nkeys = ['a']\n",
            "soon": KNOWN.replace("2030-01-01", "'soon'"),
            "never": KNOWN.replace("2030-01-01", "2030-02-30"),
            "script": KNOWN.replace("https", "javascript"),
            "silent": KNOWN.replace("slow", " "),
            "shared": KNOWN + KNOWN.replace("one", "two"),
        }.items():
            (self.root / f"{name}.toml").write_text(text)

    def _write_runs(self) -> None:
        recorded = load_profile("kvm-vfio").model_dump(mode="json", by_alias=True)
        run = the_story(["powerpc"], profile=recorded)
        text = run.model_dump_json(by_alias=True)
        other = the_story(["x86"], profile=recorded).model_dump_json(by_alias=True)
        profile = load_profile("kvm-vfio")
        shard = ShardRecord(index=1, count=4, requests=144, shares=("a", "b", "c", "d"))
        stopped = run.model_copy(
            update={
                "tool": build_tool_record(),
                "plan_sha256": compute_plan_digest(plan_requests(profile)),
                "shard": shard,
            }
        )
        for name, content in {
            "a-run": text,
            "a-shard": stopped.model_dump_json(by_alias=True),
            "other": other,
            "damaged": "{",
            "deep": "[" * 100_000,
            "halved": text[: len(text) // 2],
            "future": text.replace('"schema":1', '"schema":2'),
            "cellless": run.model_copy(update={"cells": ()}).model_dump_json(by_alias=True),
            "toolless": run.model_copy(update={"toolchains": {}}).model_dump_json(by_alias=True),
            "verdict/before": text,
            "verdict/after": text,
        }.items():
            (self.root / "runs" / name).mkdir(parents=True)
            (self.root / "runs" / name / "run.json").write_text(content)
        (self.root / "runs" / "folder" / "run.json").mkdir(parents=True)
        (self.root / "runs" / "verdict" / "after" / "verdict.json").write_text("{")
        (self.root / "runs" / "asked").mkdir()
        (self.root / "runs" / "asked" / "request.json").write_text("{")
