"""kmatrix's images: what is in them, what they are called, and that they are there.

A tag carries a hash of everything that goes in (its own Dockerfile and, through FROM, its parent's tag),
so an edited template is a new image and an unchanged one is found again.
"""

import hashlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import jinja2

from matrix.catalog.load import load_catalog
from matrix.engine.bootstrap import ROOT_IMAGE, ensure_root_image
from matrix.engine.protocol import ContainerLimits, ContainerSpec, Engine
from matrix.errors import EngineError, RequestError
from matrix.record.events import EventSink, OutputLine, ProgressNote

DOCKERFILES_DIR = Path(__file__).parents[2] / "dockerfiles"
_NOT_ALLOWED_IN_TAG = re.compile(r"[^a-z0-9]+")
_TEMPLATE_SUFFIX = ".Dockerfile.j2"
# Two lanes that want the same missing image: one builds it, the other then finds it.
_BUILD_LOCK = threading.Lock()
# Each command's first line that is not blank (perl begins with a blank one), or an empty one where the
# command fails or does not exist.
_FIRST_LINES_SCRIPT = """
for command; do
    said=$(sh -c "$command" 2>&1) || said=
    line=$(printf '%s\\n' "$said" | sed '/./!d;q')
    printf '%s\\n' "$line"
done
"""


@dataclass(frozen=True)
class ImageRecipe:
    """A toolchain whose image is built here: ``Blueprint("gcc-14", "gcc", 14)``.

    ``family`` is the template's name, ``version`` the compiler's.
    """

    name: str
    template: str
    version: int

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile, on the base as it stands now."""
        return render_dockerfile(self.name, self.template, self.version, compute_base_tag())

    @property
    def tag(self) -> str:
        """What its image is called, whether there is one or not."""
        return compute_image_tag(self.name, self.dockerfile)


def render_dockerfiles(wanted: ImageRecipe) -> tuple[str, ...]:
    """All Dockerfiles of a toolchain's image, each on the one before; the first is on ``bootstrap.ROOT``."""
    return (render_dockerfile("base", "base", None, ROOT_IMAGE), wanted.dockerfile)


@cache
def _load_templates() -> jinja2.Environment:
    # autoescape is for HTML; a Dockerfile must come out as it was written.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(DOCKERFILES_DIR),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )


@cache
def _list_triplets() -> tuple[str, ...]:
    """The GNU names of the machines that every toolchain's image compiles for: the catalog's arches."""
    return tuple(arch.triplet for arch in load_catalog().arches.values())


def list_image_templates() -> tuple[str, ...]:
    """The templates that a toolchain may name: ``clang``, ``gcc``, and whatever lies beside them."""
    names = (
        path.name.removesuffix(_TEMPLATE_SUFFIX) for path in DOCKERFILES_DIR.glob(f"*{_TEMPLATE_SUFFIX}")
    )
    return tuple(sorted(name for name in names if name != "base"))


def render_dockerfile(name: str, family: str, version: int | None, parent: str) -> str:
    """The Dockerfile of an image: the template ``family``, filled in.

    ``version`` is the compiler's (None for the base), ``parent`` the image in FROM. RequestError when
    there is no such template.
    """
    try:
        template = _load_templates().get_template(family + _TEMPLATE_SUFFIX)
    except jinja2.TemplateNotFound:
        known = ", ".join(list_image_templates())
        raise RequestError(
            f"the image {name} wants the template {family!r}, "
            f"and there is no dockerfiles/{family}{_TEMPLATE_SUFFIX}",
            hint=f"the templates are: {known}",
        ) from None
    return template.render(name=name, version=version, parent=parent, triplets=_list_triplets())


def compute_image_tag(name: str, recipe: str) -> str:
    """``kmatrix/gcc-14:0123456789ab``: the name, and 12 hexadecimal digits of its recipe's SHA-256.

    What an image may not be called (capitals, most punctuation) becomes a hyphen or a small letter.
    """
    allowed = _NOT_ALLOWED_IN_TAG.sub("-", name.lower()).strip("-") or "image"
    return f"kmatrix/{allowed}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def compute_base_tag() -> str:
    """The tag of the image under all toolchains."""
    return compute_image_tag("base", render_dockerfile("base", "base", None, ROOT_IMAGE))


def ensure_base_image(engine: Engine, emit: EventSink, *, install: bool = False) -> str:
    """The base image's id; built, with the root file system under it, when it is not there.

    ``install`` allows installing what the bootstrap needs on this machine.
    """
    if found := engine.find_image_id(compute_base_tag()):
        return found
    with _BUILD_LOCK:
        return _ensure_base_locked(engine, emit, install=install)


def ensure_toolchain_image(
    engine: Engine, wanted: ImageRecipe, emit: EventSink, *, install: bool = False
) -> str:
    """The id (``sha256:…``) of a toolchain's image; built, with all under it, when it is not there.

    Raises EngineError with the end of the build's output when a step of it fails.
    """
    if found := engine.find_image_id(wanted.tag):
        return found
    with _BUILD_LOCK:
        _ensure_base_locked(engine, emit, install=install)
        return _ensure_image_locked(engine, wanted.tag, wanted.dockerfile, emit)


def ensure_named_image(engine: Engine, ref: str, emit: EventSink) -> str:
    """The id of an image that a profile names (by digest, id or tag): local, or else pulled."""
    if found := engine.find_image_id(ref):
        return found
    emit(ProgressNote(f"Pulling the image {ref}."))
    if engine.pull_image(ref) and (found := engine.find_image_id(ref)):
        return found
    raise EngineError(
        f"the image {ref} is not on this machine and no registry gives it",
        hint=f"check the name in the profile, or load the image and try again: docker pull {ref}",
    )


def _ensure_base_locked(engine: Engine, emit: EventSink, *, install: bool) -> str:
    wanted = compute_base_tag()
    if found := engine.find_image_id(wanted):
        return found
    ensure_root_image(engine, emit, install=install)
    return _ensure_image_locked(engine, wanted, render_dockerfile("base", "base", None, ROOT_IMAGE), emit)


def _ensure_image_locked(engine: Engine, wanted: str, dockerfile: str, emit: EventSink) -> str:
    if found := engine.find_image_id(wanted):
        return found
    emit(ProgressNote(f"Building the image {wanted}."))
    built = engine.build_image(wanted, {"Dockerfile": dockerfile}, lambda line: emit(OutputLine(line)))
    emit(ProgressNote(f"Built the image {wanted}."))
    return built


def read_first_lines(engine: Engine, image: str, commands: Sequence[str], user: str) -> list[str]:
    """The first line that each shell command prints in the image, in order; one container for all.

    ``powerpc64le-linux-gnu-gcc --version`` gives what a record keeps of a compiler. A command that fails,
    or that the image lacks, gives an empty string. EngineError when the image has no shell.
    """
    container = ContainerSpec(
        name=f"kmatrix-ask-{uuid4().hex[:12]}",
        image=image,
        command=("sh", "-c", _FIRST_LINES_SCRIPT, "sh", *commands),
        user=user,
        limits=ContainerLimits(seconds=60),
    )
    lines: list[str] = []
    ended = engine.run_container(container, lines.append, threading.Event())
    if ended.exit or ended.timed_out or len(lines) != len(commands):
        said = "; ".join(lines[-3:])
        raise EngineError(
            f"the image {image} does not tell its tools' versions (exit {ended.exit}): {said}",
            hint=f"try it by hand: docker run --rm {image} {commands[0] if commands else 'true'}",
        )
    return lines
