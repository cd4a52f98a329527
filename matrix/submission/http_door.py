"""The one door to HTTP servers: a request with a token, to one host, within limits of time and size."""

import ipaddress
import math
import queue
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from matrix.errors import MachineError, RequestError

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:[0-9]{1,5})?"
    r"(?P<path>/[A-Za-z0-9._~%/-]{0,1000})?"
)
_UNTRUSTED = "its certificate is not trusted (REQUESTS_CA_BUNDLE names a file with certificates of your own)"
# RFC 6750's b64token: no blank and no line break, so that a header holds it and nothing else.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class BearerToken(AuthBase):
    """A secret for one server. It is in no ``repr``, and in no message."""

    text: str = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put it into the request's header. As it is the request's own, no ``.netrc`` replaces it."""
        request.headers["Authorization"] = f"Bearer {self.text}"
        return request


@dataclass(frozen=True)
class HttpLimits:
    """Seconds: to connect, between two pieces of the answer, and for all of it. Bytes of an answer."""

    connect: float = 15.0
    silence: float = 60.0
    whole: float = 600.0
    answer: int = 2**20


@dataclass(frozen=True)
class HttpAnswer:
    """A server's answer. ``location`` is where it sends to, or empty."""

    status: int
    body: bytes
    location: str = ""


@dataclass(frozen=True)
class HttpServer:
    """A server, by the address that paths are appended to, and what it is asked with."""

    address: str
    token: BearerToken
    limits: HttpLimits = HttpLimits()

    @property
    def host(self) -> str:
        """Its host, with the port where one is given."""
        return self.address.split("/")[2]

    def hide_token(self, text: str) -> str:
        """A text of the server's for a message, without the token that it may repeat, escaped or not. What is
        cut is cut after that: of a token at the cut a part would be left."""
        return re.sub("".join(map(_match_escaped, self.token.text)), "[token]", text, flags=re.IGNORECASE)

    def send_request(
        self, method: str, path: str, body: bytes | None = None, seconds: float = math.inf
    ) -> HttpAnswer:
        """What the server answers, redirects too: none is followed, so that no other host gets the token.
        ``seconds``: a limit for all of it, where the server's own is longer.

        MachineError where it does not, in time, or with more than an answer may have.
        """
        try:
            return _run_within(min(seconds, self.limits.whole), lambda: self._ask(method, path, body))
        except (requests.RequestException, HTTPError, OSError, queue.Empty) as error:
            raise MachineError(
                f"{self.host} cannot be reached: {_describe_failure(error)}",
                "look at the address and the network, and send it again: ids stay, so nothing doubles",
            ) from error

    def _ask(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        with requests.Session() as session:
            # A proxy of the environment's would get in the clear what is sent without TLS.
            session.trust_env = self.address.startswith("https:")
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            headers |= {"Content-Type": "application/json"} if body is not None else {}
            with session.request(
                method,
                f"{self.address}{path}",
                data=body,
                headers=headers,
                auth=self.token,
                timeout=(self.limits.connect, self.limits.silence),
                allow_redirects=False,
                stream=True,
            ) as response:
                location = response.headers.get("Location", "")
                return HttpAnswer(response.status_code, self._read_body(response), location)

    def _read_body(self, response: requests.Response) -> bytes:
        content = b""
        # To its end: only the read after the last piece shows that some of it is missing.
        while piece := response.raw.read(self.limits.answer + 1, decode_content=False):
            content += piece
            if len(content) > self.limits.answer:
                raise MachineError(
                    f"{self.host} answers with more than {self.limits.answer >> 10} KiB",
                    "that is no KCIDB server: look at the address",
                )
        return content


def _match_escaped(character: str) -> str:
    """The regex of a token's character, as it is or as addresses, JSON and HTML escape it."""
    code = f"{ord(character):02x}"
    escapes = rf"%(?:25){{0,3}}{code}|\\{{1,8}}u00{code}|&#0{{0,4}}{ord(character)};|&#x0{{0,4}}{code};"
    return rf"(?:\\{{0,8}}{re.escape(character)}|{escapes})"


def _run_within(seconds: float, work: Callable[[], HttpAnswer]) -> HttpAnswer:
    """What the work returns or raises; queue.Empty where it takes longer.

    The time limits of a socket begin anew with each byte, and looking a name up has none. A thread that is
    left behind ends with the process.
    """
    results: queue.SimpleQueue[HttpAnswer | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(work())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            results.put(error)

    threading.Thread(target=run, name="http-request", daemon=True).start()
    result = results.get(timeout=seconds)
    if isinstance(result, Exception):
        raise result
    return result


def _describe_failure(error: BaseException) -> str:
    """Why there is no answer, without the words of the request."""
    if isinstance(error, queue.Empty | requests.Timeout):
        return "it does not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        is_untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
        return _UNTRUSTED if is_untrusted else "it does not speak TLS as this machine does"
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return "the connection broke"


def parse_address(url: str) -> str:
    """The address of a server, without a slash at its end.

    RequestError for what is none, for one with a token in it, and for one without TLS, but on this machine.
    The address is in no message: it may hold a secret.
    """
    if "@" in url:
        raise RequestError(
            "--url has a name or a token in it, which others on this machine can see",
            "write it without what stands before the @, which goes into a file for --token-file",
        )
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise RequestError(
            "--url: expected https://HOST, with :PORT and /PATH where there are any",
            "for example --url https://kcidb.example.org",
        )
    if match["scheme"] == "http" and not _is_loopback(match["host"]):
        raise RequestError(
            "--url: without TLS the token would travel in the clear",
            "write https://; http:// is for a server on this machine",
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def parse_token(text: str, label: str) -> BearerToken:
    """A token without the blanks around it. RequestError, which begins with ``label``, for what is none."""
    word = text.strip()
    if not word:
        raise RequestError(f"{label} is empty", "put the token there that the server's people gave you")
    if not _TOKEN.fullmatch(word):
        raise RequestError(
            f"{label} holds no token: a token is one word of letters, digits and -._~+/=",
            "it has the token and nothing else, not even its name",
        )
    return BearerToken(word)
