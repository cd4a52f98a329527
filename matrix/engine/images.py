"""kmatrix's images: their Dockerfiles and tags, and the building of those that are missing.

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

import jinja2

from matrix.catalog.load import load_catalog
from matrix.catalog.types import ROOT_IMAGE, RootImage
from matrix.engine.bootstrap import ensure_root_image
from matrix.engine.image_registry import ensure_registry_image
from matrix.engine.protocol import ContainerLimits, Engine
from matrix.engine.step import Step, StepRunner
from matrix.errors import EngineError, RegistryError, RequestError
from matrix.record.events import EventSink, OutputLine, ProgressNote
from matrix.shell_words import format_command

DOCKERFILES_DIR = Path(__file__).parents[2] / "dockerfiles"
_NOT_ALLOWED_IN_TAG = re.compile(r"[^a-z0-9]+")
_TEMPLATE_SUFFIX = ".Dockerfile.j2"
_BASE_TEMPLATE, _CCACHE_TEMPLATE = "base", "ccache"
# Two lanes may need the same missing image: one builds it, and the other then finds it.
_BUILD_LOCK = threading.Lock()
# Each command's first line that is not blank (perl begins with a blank one), or an empty one where the
# command fails or does not exist.
_FIRST_LINES_SCRIPT = """
for command; do
    output=$(sh -c "$command" 2>&1) || output=
    line=$(printf '%s\\n' "$output" | sed '/./!d;q')
    printf '%s\\n' "$line"
done
"""


@dataclass(frozen=True)
class ImageRecipe:
    """A toolchain whose image is built here: ``ImageRecipe("gcc-14", "gcc", 14)``.

    ``template`` names the file under ``dockerfiles/``, ``version`` is the compiler's, and ``root`` the
    root file system, with its Debian suite. ``with_ccache``: with a layer on top that has ccache.
    """

    name: str
    template: str
    version: int
    root: RootImage = ROOT_IMAGE
    with_ccache: bool = False

    @property
    def dockerfiles(self) -> tuple[str, ...]:
        """All Dockerfiles of the image, each on the one before; the first is on the root file system."""
        return (_render_base_dockerfile(self.root), *self.images_on_base.values())

    @property
    def images_on_base(self) -> dict[str, str]:
        """Tag → Dockerfile of each image above the base as it stands now; the last one is the toolchain's."""
        plain = render_dockerfile(self.name, self.template, self.version, compute_base_tag(self.root))
        images = {compute_image_tag(self.name, plain): plain}
        if self.with_ccache:
            name = f"{self.name}-{_CCACHE_TEMPLATE}"
            layer = render_dockerfile(name, _CCACHE_TEMPLATE, self.version, next(iter(images)))
            images[compute_image_tag(name, layer)] = layer
        return images

    @property
    def tag(self) -> str:
        """The tag of its image, whether that exists or not."""
        return [*self.images_on_base][-1]


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
    return tuple(sorted(name for name in names if name not in (_BASE_TEMPLATE, _CCACHE_TEMPLATE)))


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


def compute_base_tag(root: RootImage = ROOT_IMAGE) -> str:
    """The tag of the image under all toolchains."""
    return compute_image_tag("base", _render_base_dockerfile(root))


def _render_base_dockerfile(root: RootImage) -> str:
    return render_dockerfile(_BASE_TEMPLATE, _BASE_TEMPLATE, None, root.tag)


def ensure_base_image(
    engine: Engine, emit: EventSink, *, registry: str | None = None, install: bool = False
) -> str:
    """The base image's id; built, with the root file system under it, when it is not there, or, where a
    registry is named, taken from that.

    ``install`` allows installing what the bootstrap needs on this machine.
    """
    root = ROOT_IMAGE
    if registry:
        with _BUILD_LOCK:
            return ensure_registry_image(engine, registry, compute_base_tag(root), emit)
    if image := engine.find_image_id(compute_base_tag(root)):
        return image
    with _BUILD_LOCK:
        return _ensure_base_locked(engine, root, emit, install=install)


def ensure_toolchain_image(
    engine: Engine,
    recipe: ImageRecipe,
    emit: EventSink,
    *,
    registry: str | None = None,
    install: bool = False,
) -> str:
    """The id (``sha256:…``) of a toolchain's image; built, with all under it, when it is not there, or, where
    a registry is named, taken from that, and never built.

    Raises EngineError with the end of the build's output when a step of it fails.
    """
    if registry:
        with _BUILD_LOCK:
            return ensure_registry_image(engine, registry, recipe.tag, emit)
    if image := engine.find_image_id(recipe.tag):
        return image
    with _BUILD_LOCK:
        image = _ensure_base_locked(engine, recipe.root, emit, install=install)
        for tag, dockerfile in recipe.images_on_base.items():
            image = _ensure_image_locked(engine, tag, dockerfile, emit)
        return image


def ensure_named_image(engine: Engine, ref: str, emit: EventSink) -> str:
    """The id of an image that a profile names (by digest, id or tag): local, or else pulled."""
    if image := engine.find_image_id(ref):
        return image
    emit(ProgressNote(f"Pulling the image {ref}."))
    reason = "its registry gave it, and the engine has it not"
    try:
        engine.pull_image(ref)
        if image := engine.find_image_id(ref):
            return image
    except RegistryError as error:
        reason = str(error)
    pull = format_command(engine.query_info().name, "pull", ref)
    raise EngineError(
        f"the image {ref} is not on this machine and no registry gives it: {reason}",
        hint=f"check the name in the profile, or load the image and try again: {pull}",
    )


def _ensure_base_locked(engine: Engine, root: RootImage, emit: EventSink, *, install: bool) -> str:
    tag = compute_base_tag(root)
    if image := engine.find_image_id(tag):
        return image
    ensure_root_image(engine, emit, root=root, install=install)
    return _ensure_image_locked(engine, tag, _render_base_dockerfile(root), emit)


def _ensure_image_locked(engine: Engine, tag: str, dockerfile: str, emit: EventSink) -> str:
    # Another lane may have built it while this one waited for the lock.
    if image := engine.find_image_id(tag):
        return image
    emit(ProgressNote(f"Building the image {tag}."))
    image = engine.build_image(tag, {"Dockerfile": dockerfile}, lambda line: emit(OutputLine(line)))
    emit(ProgressNote(f"Built the image {tag}."))
    return image


def _format_trial(engine: Engine, image: str, command: str) -> str:
    return format_command(engine.query_info().name, "run", "--rm", image, "sh", "-c", command)


def read_first_lines(engine: Engine, image: str, commands: Sequence[str], user: str) -> list[str]:
    """The first line that each shell command prints in the image, in order; one container for all.

    ``powerpc64le-linux-gnu-gcc --version`` gives what a record keeps of a compiler. A command that fails,
    or that the image lacks, gives an empty string. EngineError when the image has no shell.
    """
    step = Step(image, ("sh", "-c", _FIRST_LINES_SCRIPT, "sh", *commands))
    lines: list[str] = []
    ended = StepRunner(engine, user, "ask", ContainerLimits(seconds=60)).run(step, lines.append)
    if ended.exit or ended.timed_out or len(lines) != len(commands):
        output = "; ".join(lines[-3:])
        raise EngineError(
            f"the image {image} does not tell its tools' versions (exit {ended.exit}): {output}",
            hint=f"try it by hand: {_format_trial(engine, image, commands[0] if commands else 'true')}",
        )
    return lines
