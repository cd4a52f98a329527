"""`./inv submit`: send a run or a verdict to KCIDB, and ask what became of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matrix.catalog.types import parse_duration
from matrix.errors import MachineError, RequestError
from matrix.submission.http_door import BearerToken, HttpServer, parse_address, parse_token
from matrix.submission.kcidb_server import ERROR, FAILED, NOT_FOUND, PROCESSED, KcidbServer, SubmissionStatus
from matrix.user_files import expand_user_path, read_private_file

DEFAULT_WAIT = "5m"
_TOKEN_LIMIT = 64 * 2**10
_LONGEST_PAUSE = 30.0
_SHORTEST_ANSWER = 15.0
"""Seconds that the last question may take when the time is over."""
_LOST_AFTER = 4
"""Times in a row that the server does not know the submission: it is moved between folders meanwhile."""


@dataclass(frozen=True)
class SubmitRequest:
    """Where to, and how many seconds to wait until it is processed; 0 does not ask."""

    server: KcidbServer
    wait: int


def parse_submit_request(url: str, token_file: str, token: str | None, wait: str) -> SubmitRequest:
    """What was asked; ``token`` is the variable, which a file goes before. RequestError where an address or a
    token is missing, or is none."""
    if not url:
        raise RequestError("submit needs the address of a server", "name it: --url https://HOST")
    seconds = _parse_wait(wait)
    address = parse_address(url).removesuffix("/submit")
    return SubmitRequest(KcidbServer(HttpServer(address, _find_token(token_file, token))), seconds)


def _parse_wait(text: str) -> int:
    try:
        return 0 if text == "0" else parse_duration(text)
    except ValueError as error:
        raise RequestError(f"--wait: {error}", "for example --wait 10m; 0 does not wait") from error


def _find_token(file: str, token: str | None) -> BearerToken:
    if file:
        label = f"the token in {file}"
        content = read_private_file(expand_user_path(file), label, _TOKEN_LIMIT)
        return parse_token(content.decode("utf-8", "replace"), label)
    if token is None:
        raise RequestError(
            "submit needs a token", "put it into a file that only you can read: --token-file FILE"
        )
    return parse_token(token, "KMATRIX_TOKEN")


def send_submission(request: SubmitRequest, document: str, show: Callable[[str, str], None]) -> None:
    """Send a document, and wait until it is processed. ``show`` is called with the id that it got, and with
    what it is: accepted, then processed.

    RequestError where the server rejects it, MachineError where nothing shows what became of it.
    """
    number = request.server.submit_document(document)
    show(number, "accepted")
    if request.wait:
        _await_processing(request, number)
        show(number, PROCESSED)


def _await_processing(request: SubmitRequest, number: str) -> None:
    known, lost, problem = SubmissionStatus("not known", ""), 0, ""
    for left in _pause_longer(request.wait):
        try:
            known = request.server.ask_status(number, max(left, _SHORTEST_ANSWER))
        except MachineError as error:
            problem = f"; {error}"  # a server may be restarted meanwhile
            continue
        lost, problem = lost + 1 if known.status == NOT_FOUND else 0, ""
        if known.status == PROCESSED:
            return
        if known.status == FAILED:
            raise _build_rejection(number, known)
        if known.status == ERROR or lost >= _LOST_AFTER:
            break
    raise MachineError(
        f"submission {number} was accepted, and nothing shows that it was processed: {known.status}"
        f"{f' ({known.message})' if known.message else ''}{problem}",
        "send it again later, with a longer --wait: the ids are the same, so nothing doubles",
    )


def _pause_longer(seconds: float) -> Iterator[float]:
    """A pause before each turn, longer each time, until this time is over; how much of it is left."""
    end, pause = time.monotonic() + seconds, 1.0
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        yield end - time.monotonic()
        pause = min(2 * pause, _LONGEST_PAUSE)


def _build_rejection(number: str, known: SubmissionStatus) -> RequestError:
    return RequestError(
        f"submission {number} was rejected: {known.message or 'the server does not say why'}",
        "--dry-run prints what was sent; whoever runs the server finds the reason in its log, by this id",
    )
