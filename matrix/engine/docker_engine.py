"""The engine behind which Docker stands: the only module that knows docker-py.

Everything that goes wrong on the way to the engine and back becomes an EngineError; what a caller's
``on_line`` raises passes through untouched.
"""

from __future__ import annotations  # the stubs' CancellableStream takes a parameter, the real one does not

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.utils
import requests
import urllib3.exceptions
from docker.types.daemon import CancellableStream

from matrix.engine import terminal
from matrix.engine.engine import LABEL, About, Container, Ended, Line
from matrix.engine.faults import build_failed, refused, silent, too_old
from matrix.engine.guard import Guard
from matrix.engine.lines import Lines
from matrix.engine.payload import BUILT, about, attended, config, context, runs, sizes
from matrix.errors import EngineError

Pieces = tuple[bytes | None, bytes | None]
"""What came on stdout and what on stderr."""

_FAULTS = (
    docker.errors.DockerException,
    docker.errors.StreamParseError,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
_ANSWER_WITHIN = 60
"""Seconds for any one answer of the engine, except where it streams or waits."""
_WAIT = 30
_ENDS_WITHIN = 5
_ENDED = ("exited", "dead")
_LAST_LINES = 12
_NOT_FOUND = 404


class DockerEngine:
    """An Engine on Docker's API. Safe to use from several threads at once.

    Every call has a client of its own: docker-py's is a requests Session, which is not made to be
    shared, and another one costs about a millisecond.
    """

    def __init__(self, url: str) -> None:
        """``url`` as in DOCKER_HOST. Raises EngineError when the engine is too old or no engine at all."""
        self.url = url
        self._version = "auto"
        with self._client() as api:
            self._version = api.api_version

    @contextmanager
    def _client(self) -> Iterator[docker.APIClient]:
        with self._asking("reach it"):
            tls = docker.utils.kwargs_from_env().get("tls", False)
            api = docker.APIClient(self.url, version=self._version, timeout=_ANSWER_WITHIN, tls=tls)
        with closing(api):
            yield api

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except _FAULTS as fault:
            raise _translated(self.url, what, fault) from fault

    @contextmanager
    def _call(self, what: str) -> Iterator[docker.APIClient]:
        """A client for one question, its faults translated. No callback may run in here."""
        with self._client() as api, self._asking(what):
            yield api

    def about(self) -> About:
        with self._call("tell about itself") as api:
            info, version = api.info(), api.version()
        return about(info, version)

    def image_id(self, ref: str) -> str | None:
        with self._call(f"look for the image {ref}") as api:
            try:
                return str(api.inspect_image(ref)["Id"])  # type: ignore[no-untyped-call]
            except docker.errors.NotFound:
                return None

    def pull(self, ref: str) -> bool:
        repository, tag = docker.utils.parse_repository_tag(ref)
        with self._call(f"pull {ref}") as api:
            try:
                answers = api.pull(repository, tag=tag or "latest", stream=True, decode=True)
                return not any("error" in answer for answer in answers)
            except docker.errors.APIError:
                return False

    def tag(self, ref: str, name: str) -> None:
        repository, tag = docker.utils.parse_repository_tag(name)
        with self._call(f"tag {ref} as {name}") as api:
            api.tag(ref, repository, tag)

    def import_rootfs(self, tarball: Path, name: str) -> str:
        repository, tag = docker.utils.parse_repository_tag(name)
        label = [f"LABEL {LABEL}={BUILT}"]
        with self._call(f"import {tarball} as {name}") as api:
            api.import_image_from_file(str(tarball), repository, tag, changes=label)
        return self._made(name)

    def build(self, name: str, files: Mapping[str, str], on_line: Line) -> str:
        last: deque[str] = deque(maxlen=_LAST_LINES)
        with self._client() as api:
            for line in self._build_output(api, name, files, last):
                last.append(line)
                on_line(line)
        return self._made(name)

    def _build_output(
        self, api: docker.APIClient, name: str, files: Mapping[str, str], last: Iterable[str]
    ) -> Iterator[str]:
        """The lines of a build; EngineError with the ``last`` ones when a step fails."""
        lines = Lines()
        with self._asking(f"build the image {name}"):
            for answer in api.build(
                fileobj=context(files),
                custom_context=True,
                tag=name,
                labels={LABEL: BUILT},
                rm=True,
                forcerm=True,
                decode=True,
            ):
                yield from lines.feed(str(answer.get("stream", "")).encode())
                if error := answer.get("error"):
                    raise build_failed(name, str(error), [*last, *lines.rest()])
        yield from lines.rest()

    def _made(self, name: str) -> str:
        made = self.image_id(name)
        if made is None:
            raise EngineError(
                f"the engine ended its work on the image {name} and has no such image",
                hint="it may have been restarted meanwhile: try again",
            )
        return made

    def run(self, container: Container, on_line: Line, cancel: threading.Event) -> Ended:
        if cancel.is_set():
            return Ended(exit=0, seconds=0.0, cancelled=True)
        with self._client() as api:
            made = self._create(api, container.name, config(container))
            try:
                return self._follow(api, made, container, on_line, cancel)
            finally:
                self._discard(api, made)

    def enter(self, container: Container) -> int:
        program = terminal.client()
        body = attended(container, terminal=terminal.is_terminal())
        with self._client() as api:
            made = self._create(api, container.name, body)
            discard = partial(self._discard, api, made)
            try:
                terminal.start(program, self.url, made, discard)
                return self._left(api, made, container.name)
            finally:
                discard()

    def _left(self, api: docker.APIClient, made: str, name: str) -> int:
        """The exit code of a container whose client has ended; EngineError when it did not end, or begin."""
        with self._asking("wait for a container"):
            with _silence_allowed():
                api.wait(made, timeout=_ENDS_WITHIN)
            state: Mapping[str, Any] = api.inspect_container(made)["State"]
        if state["Status"] in _ENDED:
            return int(state["ExitCode"])
        raise refused(f"run {name} to its end", str(state.get("Error") or "its client ended before it"))

    def _create(self, api: docker.APIClient, name: str, body: Mapping[str, Any]) -> str:
        with self._asking(f"create the container {name}"):
            try:
                made = api.create_container_from_config(body, name)  # type: ignore[no-untyped-call]
                return str(made["Id"])
            except docker.errors.APIError:
                raise
            except BaseException:
                # No answer, or interrupted while waiting for it: it may exist all the same.
                with suppress(EngineError):
                    self.remove_container(name)
                raise

    def _follow(
        self, api: docker.APIClient, made: str, container: Container, on_line: Line, cancel: threading.Event
    ) -> Ended:
        with self._attached(container.name) as stream:
            with self._asking(f"start {container.name}"):
                api.start(made)
            started = time.monotonic()
            with Guard(
                cancel, container.limits.seconds, partial(self._kill, made), partial(_end, stream)
            ) as guard:
                self._give_lines(stream, on_line)
                state = self._exited(api, made, guard)
        return Ended(
            exit=int(state["ExitCode"]),
            seconds=time.monotonic() - started,
            oom=bool(state.get("OOMKilled")),
            timed_out=guard.verdict == "timed out",
            cancelled=guard.verdict == "cancelled",
        )

    @contextmanager
    def _attached(self, name: str) -> Iterator[CancellableStream[Pieces]]:
        """The output of a container that is to be started. ``close`` on it ends a read in another thread."""
        responses: list[requests.Response] = []
        with self._client() as api:
            # docker-py leaves the connection of an attachment open, even after close(): its response is
            # caught on the way, and closed here.
            api.hooks["response"].append(lambda response, *_, **__: responses.append(response))
            try:
                with self._asking(f"attach to {name}"):
                    stream = api.attach(name, stream=True, demux=True)
                yield stream
            finally:
                for response in responses:
                    response.close()

    def _give_lines(self, stream: Iterable[Pieces], on_line: Line) -> None:
        """All output, line by line, until both streams are closed.

        They are put together to lines apart, so that neither tears a line of the other.
        """
        streams = (Lines(), Lines())
        for pieces in self._pieces(stream):
            for lines, piece in zip(streams, pieces, strict=True):
                for line in lines.feed(piece or b""):
                    on_line(line)
        for lines in streams:
            for line in lines.rest():
                on_line(line)

    def _pieces(self, stream: Iterable[Pieces]) -> Iterator[Pieces]:
        with self._asking("give a container's output"):
            yield from stream

    def _exited(self, api: docker.APIClient, made: str, guard: Guard) -> Mapping[str, Any]:
        """The container's final state. Its output may have ended long before it does."""
        while True:
            with self._asking("wait for a container"):
                # The timeout is HTTP's and says nothing of the container; the guard keeps its time.
                with _silence_allowed():
                    api.wait(made, timeout=_WAIT)
                state: Mapping[str, Any] = api.inspect_container(made)["State"]
            if state["Status"] in _ENDED:
                return state
            if guard.failure is not None:
                raise guard.failure

    def _kill(self, made: str) -> bool:
        with self._call("kill a container") as api:
            try:
                api.kill(made)
            except docker.errors.APIError as error:
                # 404: removed; 409 (Podman) and 500 (old Dockers): not running any more.
                if error.status_code in (_NOT_FOUND, 409) or "is not running" in str(error):
                    return False
                raise
            return True

    def _discard(self, api: docker.APIClient, made: str) -> None:
        # The outcome is known by now, or an error is on its way: a leftover must change neither.
        # It carries our label, so `containers` finds it.
        with suppress(EngineError):
            self._remove(api, made)

    def _remove(self, api: docker.APIClient, made: str) -> None:
        with self._asking(f"remove the container {made}"), suppress(docker.errors.NotFound):
            try:
                api.remove_container(made, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code == _NOT_FOUND:
                    raise
                # "removal in progress", or a mount that some other process still looks at.
                time.sleep(1)
                api.remove_container(made, force=True, v=True)

    def containers(self) -> dict[str, str]:
        with self._call("list the containers") as api:
            found = api.containers(all=True, filters={"label": LABEL})
        return runs(found)

    def remove_container(self, name: str) -> None:
        with self._client() as api:
            self._remove(api, name)

    def images(self) -> dict[str, int]:
        with self._call("list the images") as api:
            labelled = api.images(filters={"label": f"{LABEL}={BUILT}"})
            named = api.images(filters={"reference": "kmatrix/*"})
        return sizes((*labelled, *named))

    def remove_image(self, ref: str) -> None:
        with self._call(f"remove the image {ref}") as api, suppress(docker.errors.NotFound):
            api.remove_image(ref, force=True)


def _translated(url: str, what: str, fault: Exception) -> EngineError:
    if isinstance(fault, docker.errors.APIError):
        return refused(what, str(fault.explanation or fault))
    if isinstance(fault, docker.errors.InvalidVersion):
        return too_old(url, str(fault))
    return silent(url, what, str(fault), slow=_is_timeout(fault))


def _is_timeout(fault: Exception) -> bool:
    # Timing out while an answer's body is read comes as a plain ConnectionError around urllib3's.
    return isinstance(fault, requests.exceptions.Timeout | TimeoutError) or "timed out" in str(fault)


@contextmanager
def _silence_allowed() -> Iterator[None]:
    try:
        yield
    except requests.exceptions.RequestException as fault:
        if not _is_timeout(fault):
            raise


def _end(stream: CancellableStream[Pieces]) -> None:
    with suppress(*_FAULTS):
        stream.close()
