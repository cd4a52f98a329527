"""What KCIDB's server, kcidb-restd, is asked, and what its answers mean."""

import json
import math
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from matrix.errors import KmatrixError, MachineError, RequestError
from matrix.submission.http_door import HttpAnswer, HttpServer

PROCESSED, FAILED, NOT_FOUND, ERROR = "processed", "failed", "notfound", "error"
"""What ends a submission, or tells of none. With ``inprogress``, ``ready`` and others it is under way."""
_SHOWN_LENGTH = 1000
_ID = re.compile("[A-Za-z0-9]{1,100}")
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_AGAIN = "send it again later: the ids are the same, so nothing doubles"


@dataclass(frozen=True)
class SubmissionStatus:
    """What the server says of a submission, in its words."""

    status: str
    message: str


@dataclass(frozen=True)
class KcidbServer:
    """A server that takes submissions."""

    http: HttpServer

    def submit_document(self, document: str) -> str:
        """Send a submission; the id that the server gives it.

        RequestError where the server refuses it, MachineError where it fails.
        """
        answer = self.http.send_request("POST", "/submit", document.encode())
        self._raise_refusal(answer)
        said = _parse_answer(answer)
        number = said.get("id")
        if said.get("status") == ERROR:
            raise RequestError(
                f"{self.http.host} refuses the submission: {self._find_message(answer)}", _AGAIN
            )
        if not isinstance(number, str) or not _ID.fullmatch(number) or self.http.hide_token(number) != number:
            raise self._build_odd_answer(answer)
        return number

    def ask_status(self, number: str, seconds: float = math.inf) -> SubmissionStatus:
        """What became of a submission, asked for so many seconds at most. RequestError where the server
        refuses to say it, MachineError where it fails."""
        answer = self.http.send_request("GET", f"/status?id={number}", seconds=seconds)
        said = _parse_answer(answer)
        status = said.get("status")
        if answer.status != HTTPStatus.NOT_FOUND or status != NOT_FOUND:
            self._raise_refusal(answer)
        if not isinstance(status, str) or not status:
            raise self._build_odd_answer(answer)
        return SubmissionStatus(self.http.hide_token(status)[:_SHOWN_LENGTH], self._find_message(answer))

    def _raise_refusal(self, answer: HttpAnswer) -> None:
        host, words = self.http.host, self._find_message(answer)
        if answer.status // 100 == 2:
            return
        if answer.status // 100 == 3:
            raise RequestError(
                f"{host} sends to another address, which did not get the token: "
                f"{self.http.hide_token(answer.location)[:_SHOWN_LENGTH] or 'it names none'}",
                "where that is the right one, name it with --url",
            )
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise RequestError(
                f"{host} refuses the token: {words}",
                "is it whole, valid, and for this server? whoever runs the server gives them out",
            )
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise RequestError(f"{host} takes no submission of this size: {words}", "submit fewer cells")
        if answer.status // 100 == 4 and answer.status not in _BUSY:
            raise RequestError(
                f"{host} refuses this, with HTTP {answer.status}: {words}",
                "look at the address; --dry-run prints what is sent",
            )
        raise MachineError(f"{host} fails, with HTTP {answer.status}: {words}", _AGAIN)

    def _build_odd_answer(self, answer: HttpAnswer) -> KmatrixError:
        return MachineError(
            f"{self.http.host} answers what no KCIDB server does: {self._find_message(answer)}",
            "look at the address: it is that of kcidb-restd, without /submit",
        )

    def _find_message(self, answer: HttpAnswer) -> str:
        """The server's own words, as far as they are any; of another server's page, its begin."""
        message = _parse_answer(answer).get("message")
        if not isinstance(message, str) or not message:
            message = " ".join(answer.body.decode("utf-8", "replace").split())
        return self.http.hide_token(message)[:_SHOWN_LENGTH] or "it says nothing"


def _parse_answer(answer: HttpAnswer) -> dict[str, Any]:
    """The object that it is; an empty one where it is none."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
