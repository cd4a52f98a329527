"""What shards of one run have in common: kmatrix, profile, source, images, bases, plan."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from matrix.record.profile_keys import format_profile_value, list_differing_keys
from matrix.record.run_model import BaseRecord, SourceRecord, Tool, ToolchainRecord

_PLACES = frozenset({"out", "source", "patch"})
"""Keys of a profile that are places on a machine: what is there is compared by its content."""
_DIGITS = 12


class RunFacts(Protocol):
    """What a run is of, or a plan."""

    @property
    def tool(self) -> Tool: ...
    @property
    def profile(self) -> Mapping[str, object]: ...
    @property
    def plan_sha256(self) -> str: ...
    @property
    def source(self) -> SourceRecord: ...
    @property
    def toolchains(self) -> Mapping[str, ToolchainRecord]: ...
    @property
    def bases(self) -> Mapping[str, BaseRecord]: ...


def list_differences(first: RunFacts, other: RunFacts) -> Iterator[str]:
    """What the second has otherwise than the first, in words; nothing where they belong together."""
    if other.tool != first.tool:
        yield _describe("kmatrix", _format_tool(first.tool), _format_tool(other.tool))
    for key in list_differing_keys(first.profile, other.profile):
        if key not in _PLACES:
            yield _describe(key, *map(format_profile_value, (first.profile.get(key), other.profile.get(key))))
    yield from _list_source_differences(first.source, other.source)
    for name in dict.fromkeys([*first.toolchains, *other.toolchains]):
        yield from _list_toolchain_differences(name, first.toolchains.get(name), other.toolchains.get(name))
    for name in dict.fromkeys([*first.bases, *other.bases]):
        if first.bases.get(name) != other.bases.get(name):
            yield f"the base {name} is another"
    if other.plan_sha256 != first.plan_sha256:
        yield "the cells of the plan are others"


def _describe(what: str, first: str, other: str) -> str:
    return f"{what} is {other}, and not {first}"


def _format_tool(tool: Tool) -> str:
    return f"{tool.version} {tool.commit or ''}".strip()


def _list_source_differences(first: SourceRecord, other: SourceRecord) -> Iterator[str]:
    patches = [[(patch.name, patch.sha256) for patch in source.patches] for source in (first, other)]
    if patches[0] != patches[1]:
        names = [", ".join(name for name, _ in found) or "nothing" for found in patches]
        yield _describe("what it is patched with", *names) if names[0] != names[1] else "a patch is another"
    if first.digest != other.digest:
        yield _describe("the source", *(_format_source_digest(source) for source in (first, other)))


def _format_source_digest(source: SourceRecord) -> str:
    commit = f" ({source.git.describe})" if source.git else ""
    return f"Linux {source.version} sha256 {source.digest[:_DIGITS]}{commit}"


def _list_toolchain_differences(
    name: str, first: ToolchainRecord | None, other: ToolchainRecord | None
) -> Iterator[str]:
    if first is None or other is None:
        yield f"only one has the toolchain {name}"
        return
    compilers = [
        {arch: f"{tools.version}, {tools.binutils}" for arch, tools in record.compilers.items()}
        for record in (first, other)
    ]
    changed = [
        arch for arch in compilers[0] | compilers[1] if compilers[0].get(arch) != compilers[1].get(arch)
    ]
    if changed:
        versions = (found.get(changed[0], "missing") for found in compilers)
        yield _describe(f"{name} for {changed[0]}", *versions)
    elif first.image_id != other.image_id:
        yield _describe(f"the image of {name}", first.image_id, other.image_id)
