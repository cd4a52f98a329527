"""Engines that speak Docker's API, Docker and Podman: the only module that imports docker-py.

Everything that goes wrong on the way to the engine and back becomes an EngineError; what a caller's
``on_line`` raises passes through untouched.
"""

from __future__ import annotations  # the stubs' CancellableStream takes a parameter, the real one does not

import base64
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import docker
import docker.auth
import docker.errors
import docker.utils
import requests
import urllib3.exceptions
from docker.types.daemon import CancellableStream

from matrix.engine import docker_host, podman_host
from matrix.engine.dialect import Dialect
from matrix.engine.docker_api import (
    LineDecoder,
    build_create_request,
    build_interactive_request,
    error_from_build_failure,
    error_from_nonsense,
    error_from_old_version,
    error_from_refusal,
    error_from_silence,
    pack_build_context,
)
from matrix.engine.docker_replies import (
    IMAGE_LABEL_VALUE,
    ContainerState,
    check_output_stream,
    decode_objects,
    is_podman,
    join_bounded,
    parse_container_owners,
    parse_container_process,
    parse_container_state,
    parse_engine_info,
    parse_id,
    parse_image,
    parse_image_sizes,
    parse_transfer,
)
from matrix.engine.oom_watch import OomWatch, watch_oom_kills
from matrix.engine.podman_dialect import PodmanDialect
from matrix.engine.protocol import (
    LABEL,
    RECIPE_LABEL,
    REPORT_LINES,
    ContainerResult,
    ContainerSpec,
    EngineInfo,
    ImageDescription,
    LineCallback,
)
from matrix.engine.registry_host import error_from_registry
from matrix.engine.watchdog import ContainerWatchdog
from matrix.errors import EngineError
from matrix.foreign_text import clean_text
from matrix.interrupts import defer_interrupts

OutputChunk = tuple[bytes | None, bytes | None]
"""What came on stdout and what on stderr."""

_CLIENT_ERRORS = (
    docker.errors.DockerException,
    docker.errors.StreamParseError,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
# What docker-py raises, and the functions that read a reply, when a reply is not as the API has it.
_NONSENSE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
_REQUEST_TIMEOUT = 60
"""Seconds for one reply of the engine, except where it streams or waits."""
_LOAD_TIMEOUT = _TRANSFER_TIMEOUT = 1800
_NO_LOGIN = base64.urlsafe_b64encode(b"{}")
_WAIT_TIMEOUT = 30
_EXIT_TIMEOUT = 5
_POLL_INTERVAL = 0.1
_TAIL_LENGTH = 12
_HTTP_NOT_FOUND = 404


class _BoundedClient(docker.APIClient):
    """docker-py's client, which reads no reply without end. What comes in chunks, or as a container's output,
    is left to its reader."""

    def __init__(self, url: str, **options: Any) -> None:
        # docker-py itself leaves open what is not read to its end, and the output of a container.
        self._responses: list[requests.Response] = []
        super().__init__(url, **options)

    def close(self) -> None:
        for response in self._responses:
            response.close()
        super().close()

    def stream_images(self, names: Sequence[str]) -> Iterator[bytes]:
        """Several images as one tar file: docker-py itself has a method for one."""
        url = f"{self.base_url}/v{self.api_version}/images/get"
        reply = self.get(url, params={"names": [*names]}, stream=True, timeout=self.timeout)
        _raise_refusal(reply)
        return iter(reply.iter_content(2**20))

    def stream_transfer(self, route: str, repository: str) -> Iterator[dict[str, object]]:
        """Pull or push an image, as ``route`` has it, with the user's own login at its registry."""
        host, _ = docker.auth.resolve_repository_name(repository)
        # Docker wants one of everybody: that of nobody is an empty object.
        login = docker.auth.get_config_header(self, host) or _NO_LOGIN
        headers = {"X-Registry-Auth": login}
        reply = self.post(f"{self.base_url}{route}", headers=headers, stream=True, timeout=_TRANSFER_TIMEOUT)
        _raise_refusal(reply)
        return decode_objects(reply.iter_content(None))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = super().send(request, **{**options, "stream": True})
        self._responses.append(response)
        if "Upgrade" in request.headers and response.ok:
            check_output_stream(response.status_code, response.headers)
        elif not (options.get("stream") and response.raw.chunked):
            # Where requests keeps what it has read; it has no bound of its own.
            content = join_bounded(response.iter_content(2**16), 2 * _REQUEST_TIMEOUT)
            response._content = content  # noqa: SLF001 - requests has no other way in
        return response


class DockerEngine:
    """An Engine on Docker's API. Safe to use from several threads at once.

    Every call has a client of its own: docker-py's is a requests Session, which is not made to be
    shared, and another one costs about a millisecond.
    """

    def __init__(self, url: str) -> None:
        """``url`` as in DOCKER_HOST. Raises EngineError when the engine is too old or no engine at all."""
        self.url = url
        self._api_version = "auto"
        with self._open_checked_client("tell its version") as api:
            self._api_version = api.api_version
            self._dialect = PodmanDialect() if is_podman(api.version()) else Dialect()

    @contextmanager
    def _open_client(self) -> Iterator[_BoundedClient]:
        with self._translate_errors("reach it"):
            tls = docker.utils.kwargs_from_env().get("tls", False)
            api = _BoundedClient(self.url, version=self._api_version, timeout=_REQUEST_TIMEOUT, tls=tls)
        # An engine never sends anybody elsewhere.
        api.max_redirects = 0
        with closing(api):
            yield api

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (*_CLIENT_ERRORS, *_NONSENSE_ERRORS) as fault:
            raise _error_from_exception(self.url, what, fault) from fault

    @contextmanager
    def _open_checked_client(self, what: str) -> Iterator[_BoundedClient]:
        """A client for one request, its errors translated. No callback may run inside the ``with`` block."""
        with self._open_client() as api, self._translate_errors(what):
            yield api

    def query_info(self) -> EngineInfo:
        with self._open_checked_client("tell about itself") as api:
            return parse_engine_info(api.info(), api.version())

    def find_image_id(self, ref: str) -> str | None:
        found = self.inspect_image(ref)
        return found.id if found else None

    def inspect_image(self, ref: str) -> ImageDescription | None:
        with self._open_checked_client(f"look for the image {ref}") as api:
            try:
                return parse_image(api.inspect_image(ref))  # type: ignore[no-untyped-call]
            except docker.errors.NotFound:
                return None

    def pull_image(self, ref: str) -> None:
        self._transfer_image("pull", ref, self._dialect.format_pull)

    def push_image(self, ref: str) -> str:
        digest = self._transfer_image("push", ref, self._dialect.format_push)
        if not digest:
            raise error_from_nonsense(self.url, f"push {ref}", "no digest of it")
        return digest

    def _transfer_image(self, what: str, ref: str, format_route: Callable[[str, str, str], str]) -> str:
        """Let the engine fetch an image or give it away; its digest in the registry, where the engine tells.

        RegistryError with what the engine says where that does not work.
        """
        repository, tag = docker.utils.parse_repository_tag(ref)
        with self._open_checked_client(f"{what} {ref}") as api:
            try:
                replies = api.stream_transfer(
                    format_route(api.api_version, repository, tag or "latest"), repository
                )
                error, digest = parse_transfer(replies)
            except docker.errors.APIError as refusal:
                error, digest = str(refusal.explanation or refusal), ""
        if error:
            raise error_from_registry(self._dialect.name, what, ref, error)
        return digest

    def tag_image(self, ref: str, name: str) -> None:
        repository, tag = docker.utils.parse_repository_tag(name)
        with self._open_checked_client(f"tag {ref} as {name}") as api:
            api.tag(ref, repository, tag)

    def import_rootfs(self, tarball: Path, name: str) -> str:
        label = [f"LABEL {LABEL}={IMAGE_LABEL_VALUE}"]
        with self._open_checked_client(f"import {tarball} as {name}") as api:
            # The tag with the name: Podman takes no notice of one by itself.
            api.import_image_from_file(str(tarball), name, changes=label)
        return self._require_image_id(name)

    def build_image(self, name: str, files: Mapping[str, str], on_line: LineCallback) -> str:
        last: deque[str] = deque(maxlen=_TAIL_LENGTH)
        with self._open_client() as api:
            for line in self._stream_build_output(api, name, files, last):
                last.append(line)
                on_line(line)
        return self._require_image_id(name)

    def save_images(self, names: Sequence[str], file: BinaryIO) -> None:
        with self._open_client() as api:
            # What cannot be written is no fault of the engine's.
            for part in self._stream_images(api, names):  # noqa: FURB122
                file.write(part)

    def _stream_images(self, api: _BoundedClient, names: Sequence[str]) -> Iterator[bytes]:
        with self._translate_errors("save images"):
            yield from api.stream_images(names)

    def load_images(self, file: BinaryIO) -> None:
        with self._open_checked_client("load images") as api:
            api.timeout = _LOAD_TIMEOUT
            replies = api.load_image(file)  # type: ignore[no-untyped-call]
            errors = [str(reply["error"]) for reply in replies if "error" in reply]
        if errors:
            raise EngineError(
                f"the engine at {self.url} could not load the images: {clean_text(errors[0])}",
                "save them again, or build them: ./inv images",
            )

    def _stream_build_output(
        self, api: docker.APIClient, name: str, files: Mapping[str, str], last: Iterable[str]
    ) -> Iterator[str]:
        """The lines of a build; EngineError with the ``last`` ones when a step fails."""
        lines = LineDecoder()
        with self._translate_errors(f"build the image {name}"):
            replies = api.build(
                fileobj=pack_build_context(files),
                custom_context=True,
                tag=name,
                labels={LABEL: IMAGE_LABEL_VALUE, RECIPE_LABEL: name},
                rm=True,
                forcerm=True,
            )
            for reply in decode_objects(replies):
                yield from lines.feed(str(reply.get("stream", "")).encode())
                if error := reply.get("error"):
                    raise error_from_build_failure(name, str(error), [*last, *lines.flush()])
        yield from lines.flush()

    def _require_image_id(self, name: str) -> str:
        image_id = self.find_image_id(name)
        if image_id is None:
            raise EngineError(
                f"the engine ended its work on the image {name} and has no such image",
                hint="it may have been restarted meanwhile: try again",
            )
        return image_id

    def run_container(
        self, container: ContainerSpec, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        if cancel.is_set():
            return ContainerResult(exit=0, seconds=0.0, cancelled=True)
        self._dialect.check_container(container)
        with self._open_client() as api, ExitStack() as stack:
            # From its creation on something must remove it: no signal comes between the two.
            with defer_interrupts():
                container_id = self._create_container(api, container.name, build_create_request(container))
                stack.callback(self._discard_container, api, container_id)
            return self._follow_container(api, container_id, container, on_line, cancel)

    def run_interactively(self, container: ContainerSpec) -> int:
        self._dialect.check_container(container)
        client = docker_host.find_client(self._dialect)
        body = build_interactive_request(container, terminal=docker_host.is_terminal())
        with self._open_client() as api, ExitStack() as stack:
            with defer_interrupts():
                container_id = self._create_container(api, container.name, body)
                discard = partial(self._discard_container, api, container_id)
                stack.callback(discard)
            self._make_first_process(api, container_id, container.name)
            docker_host.start_attached(client, self.url, container_id, discard)
            return self._wait_for_exit_code(api, container_id, container.name)

    def _wait_for_exit_code(self, api: docker.APIClient, container_id: str, name: str) -> int:
        """The exit code of a container whose client has ended; EngineError when it did not end, or begin."""
        with self._translate_errors("wait for a container"):
            with _suppress_timeouts():
                api.wait(container_id, timeout=_EXIT_TIMEOUT)
            state = parse_container_state(api.inspect_container(container_id))
        if state.has_ended:
            return state.exit
        raise error_from_refusal(f"run {name} to its end", state.error or "its client ended before it")

    def _create_container(self, api: docker.APIClient, name: str, body: Mapping[str, Any]) -> str:
        with (
            self._translate_errors(f"create the container {name}"),
            self._dialect.adapt_request(body) as adapted,
        ):
            try:
                reply = api.create_container_from_config(adapted, name)  # type: ignore[no-untyped-call]
                return parse_id(reply)
            except docker.errors.APIError:
                raise
            except BaseException:
                # No reply, or interrupted while waiting for it: the container may exist all the same.
                with suppress(EngineError):
                    self.remove_container(name)
                raise

    def _follow_container(
        self,
        api: docker.APIClient,
        container_id: str,
        container: ContainerSpec,
        on_line: LineCallback,
        cancel: threading.Event,
    ) -> ContainerResult:
        with ExitStack() as stack:
            stream = stack.enter_context(self._attach_output(container.name))
            memory = stack.enter_context(self._watch_memory(api, container_id))
            with self._translate_errors(f"start {container.name}"):
                api.start(container_id)
            started = time.monotonic()
            with ContainerWatchdog(
                cancel,
                container.limits.seconds,
                partial(self._kill_container, container_id),
                partial(_close_stream, stream),
            ) as watchdog:
                report: deque[str] = deque(maxlen=REPORT_LINES)
                self._forward_lines(stream, on_line, report.append if container.reports else on_line)
                state = self._wait_for_exit_state(api, container_id, watchdog)
        return ContainerResult(
            exit=state.exit,
            seconds=time.monotonic() - started,
            oom=state.oom or (memory is not None and memory.has_killed),
            timed_out=watchdog.stop_reason == "timed out",
            cancelled=watchdog.stop_reason == "cancelled",
            report=tuple(report),
        )

    @contextmanager
    def _attach_output(self, name: str) -> Iterator[CancellableStream[OutputChunk]]:
        """The output of a container that is to be started. ``close`` on it ends a read in another thread."""
        with self._open_client() as api:
            with self._translate_errors(f"attach to {name}"):
                stream = api.attach(name, stream=True, demux=True)
            yield stream

    def _make_first_process(self, api: docker.APIClient, container_id: str, name: str) -> None:
        """Where only an engine's client would be told that the program is missing: be told before it is."""
        if route := self._dialect.format_preparation(container_id):
            with self._translate_errors(f"prepare {name}"):
                reply = api.post(f"{api.base_url}{route}", timeout=_REQUEST_TIMEOUT)
                _raise_refusal(reply)

    @contextmanager
    def _watch_memory(self, api: docker.APIClient, container_id: str) -> Iterator[OomWatch | None]:
        """A watch for kills in a container that is to be started, where the engine does not tell them."""
        if self._dialect.tells_oom:
            yield None
            return
        with self._translate_errors("look at a container"):
            process = parse_container_process(api.inspect_container(container_id))
        watch = watch_oom_kills(process, container_id)
        try:
            yield watch
        finally:
            if watch is not None:
                watch.close()

    def _forward_lines(self, stream: Iterable[OutputChunk], *on_lines: LineCallback) -> None:
        """All output of stdout and stderr, line by line, until both are closed.

        Each stream is split into lines by itself, so that neither tears a line of the other.
        """
        decoders = (LineDecoder(), LineDecoder())
        for pieces in self._read_chunks(stream):
            for decoder, piece, on_line in zip(decoders, pieces, on_lines, strict=True):
                for line in decoder.feed(piece or b""):
                    on_line(line)
        for decoder, on_line in zip(decoders, on_lines, strict=True):
            for line in decoder.flush():
                on_line(line)

    def _read_chunks(self, stream: Iterable[OutputChunk]) -> Iterator[OutputChunk]:
        with self._translate_errors("give a container's output"):
            yield from stream

    def _wait_for_exit_state(
        self, api: docker.APIClient, container_id: str, watchdog: ContainerWatchdog
    ) -> ContainerState:
        """The container's final state. Its output may have ended long before it does."""
        while True:
            with self._translate_errors("wait for a container"):
                # The timeout is HTTP's and not the container's, which the watchdog keeps.
                with _suppress_timeouts():
                    api.wait(container_id, timeout=_WAIT_TIMEOUT)
                state = parse_container_state(api.inspect_container(container_id))
            if state.has_ended:
                return state
            if watchdog.failure is not None:
                raise watchdog.failure
            time.sleep(_POLL_INTERVAL)

    def _kill_container(self, container_id: str) -> bool:
        with self._open_checked_client("kill a container") as api:
            try:
                api.kill(container_id)
            except docker.errors.APIError as error:
                # 404: removed; 409 (Podman) and 500 (old Dockers): not running any more.
                if error.status_code in (_HTTP_NOT_FOUND, 409) or "is not running" in str(error):
                    return False
                raise
            return True

    def _discard_container(self, api: docker.APIClient, container_id: str) -> None:
        # The outcome is known by now, or an error is on its way: a leftover must change neither.
        # It has kmatrix's label, so `list_containers` finds it.
        with defer_interrupts(), suppress(EngineError):
            self._force_remove_container(api, container_id)

    def _force_remove_container(self, api: docker.APIClient, container_id: str) -> None:
        with self._translate_errors(f"remove the container {container_id}"), suppress(docker.errors.NotFound):
            try:
                api.remove_container(container_id, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code == _HTTP_NOT_FOUND:
                    raise
                # "removal in progress", or a mount that another process still uses.
                time.sleep(1)
                api.remove_container(container_id, force=True, v=True)

    def list_containers(self, label: str = LABEL) -> dict[str, str]:
        with self._open_checked_client("list the containers") as api:
            return parse_container_owners(api.containers(all=True, filters={"label": [LABEL, label]}))

    def remove_container(self, name: str) -> None:
        with self._open_client() as api:
            self._force_remove_container(api, name)

    def list_images(self) -> dict[str, int]:
        with self._open_checked_client("list the images") as api:
            labelled = api.images(filters={"label": f"{LABEL}={IMAGE_LABEL_VALUE}"})
            named = api.images(filters={"reference": "kmatrix/*"})
            sizes = {**parse_image_sizes(labelled), **parse_image_sizes(named)}
        return {self._dialect.shorten_tag(tag): size for tag, size in sizes.items()}

    def remove_image(self, ref: str) -> None:
        with self._open_checked_client(f"remove the image {ref}") as api, suppress(docker.errors.NotFound):
            api.remove_image(ref, force=True)


def connect_docker() -> DockerEngine:
    """Docker on this machine. EngineError when there is none, it refuses, or is too old."""
    return DockerEngine(docker_host.find_docker())


def connect_podman() -> DockerEngine:
    """Podman on this machine, behind its API for Docker's clients. EngineError as for Docker."""
    return DockerEngine(podman_host.find_podman())


def _error_from_exception(url: str, what: str, fault: Exception) -> EngineError:
    if isinstance(fault, docker.errors.APIError):
        return error_from_refusal(what, str(fault.explanation or fault))
    if isinstance(fault, docker.errors.InvalidVersion):
        return error_from_old_version(url, str(fault))
    if isinstance(fault, _NONSENSE_ERRORS):
        return error_from_nonsense(url, what, f"{type(fault).__name__}: {fault}")
    return error_from_silence(url, what, str(fault), slow=_is_timeout(fault))


def _raise_refusal(reply: requests.Response) -> None:
    """Raise docker-py's error for a reply that is one."""
    try:
        reply.raise_for_status()
    except requests.exceptions.HTTPError as refusal:
        docker.errors.create_api_error_from_http_exception(refusal)


def _is_timeout(fault: Exception) -> bool:
    # A timeout while a reply's body is read comes as a plain ConnectionError around urllib3's.
    return isinstance(fault, requests.exceptions.Timeout | TimeoutError) or "timed out" in str(fault)


@contextmanager
def _suppress_timeouts() -> Iterator[None]:
    try:
        yield
    except requests.exceptions.RequestException as fault:
        if not _is_timeout(fault):
            raise


def _close_stream(stream: CancellableStream[OutputChunk]) -> None:
    with suppress(*_CLIENT_ERRORS):
        stream.close()
