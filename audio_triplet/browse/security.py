"""Who may ask: this machine's browser, on this server's own page, with the token.

A page of another site can make a browser send requests here. It cannot read the answers, and is
refused by four checks, of which each is enough against most attempts: `Host` (a name that was made
to point here: DNS rebinding), `Origin` and `Sec-Fetch-Site` (requests by other pages), the token.
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import json
import re
import secrets
import urllib.parse
from collections.abc import Collection
from typing import Any

from audio_triplet.errors import BrowseError

# Sent with everything: the page runs its own scripts and nothing else, and is in no frame.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}

MAX_JSON_BYTES = 8 << 20
MAX_UPLOAD_BYTES = 200 << 20

PUBLIC = "/static/"  # the same for everybody, and free of data


def new_token() -> str:
    """A token that cannot be guessed, for one run of the server."""
    return secrets.token_urlsafe(32)


@dataclasses.dataclass(frozen=True)
class Access:
    """What requests must bring.

    Attributes:
      token: The token.
      port: The server's.
      names: Names that it is known by, lower case, without the port.
      any_address: Whether any IP address may stand for the name: what is served to a network has
        addresses that are not known here, and DNS rebinding needs a name.
    """

    token: str
    port: int
    names: Collection[str] = ("127.0.0.1", "localhost")
    any_address: bool = False

    def takes_host(self, host: str) -> bool:
        """Whether a request's `Host` is this server."""
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@?#\s]+)(?::(\d{1,5}))?", host)
        if not match or int(match[2] or 80) != self.port:
            return False
        name = match[1].lower().strip("[]")
        return name in self.names or (self.any_address and _is_address(name))

    def takes_origin(self, origin: str) -> bool:
        """Whether a request's `Origin` is this server's own page."""
        scheme, separator, host = origin.partition("://")
        return scheme == "http" and bool(separator) and self.takes_host(host)

    def takes_token(self, token: str) -> bool:
        """Whether a token is the right one, in a time that does not tell how much of it is."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


class Guard:
    """An ASGI application around another: refuses, bounds what is sent, and adds `HEADERS`."""

    def __init__(self, app: Any, access: Access):
        self._app, self._access = app, access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(send, refusal)
            return
        limit = _limit(scope)
        received = 0

        async def bounded() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message.get("headers", [])}
                message["headers"] = [
                    *message.get("headers", []),
                    *(pair for pair in _encoded(HEADERS) if pair[0] not in known),
                ]
            await send(message)

        await self._app(scope, bounded, with_headers)

    def _refusal(self, scope: Any) -> BrowseError | None:
        """Why a request is not served; None: it is."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._access.takes_host(hosts[0]):
            return BrowseError(
                "Host: is not this server; open the address that audio-triplet browse printed", 403
            )
        origins = _values(scope, b"origin")
        if any(not self._access.takes_origin(origin) for origin in origins):
            return BrowseError("Origin: is another page; use this server's own", 403)
        reads = scope["method"] in ("GET", "HEAD")
        opens = reads and scope["path"] == "/" and _values(scope, b"sec-fetch-mode") == ["navigate"]
        sites = _values(scope, b"sec-fetch-site")
        if any(site not in ("same-origin", "none") for site in sites) and not opens:
            return BrowseError("Sec-Fetch-Site: is another site; use this server's own page", 403)
        if scope["path"].startswith(PUBLIC) and reads:
            return None
        tokens = _values(scope, b"x-token")
        if reads and not tokens:
            query = urllib.parse.parse_qs(scope["query_string"].decode("latin-1"))
            tokens = query.get("token", [])
        if len(tokens) != 1 or not self._access.takes_token(tokens[0]):
            return BrowseError(
                "X-Token: is missing or wrong; send the token of the address that "
                "audio-triplet browse printed",
                403,
            )
        for length in _values(scope, b"content-length"):
            if not length.isdigit() or int(length) > _limit(scope):
                return _too_large(_limit(scope))
        return None


def _limit(scope: Any) -> int:
    """Most bytes that a request may send."""
    kind = " ".join(_values(scope, b"content-type")).lower()
    return MAX_UPLOAD_BYTES if kind.startswith("multipart/form-data") else MAX_JSON_BYTES


def _too_large(limit: int) -> BrowseError:
    return BrowseError(
        f"the request: is larger than {limit >> 20} MB; send a shorter sound, or less at once", 413
    )


def _values(scope: Any, name: bytes) -> list[str]:
    """The values of a header."""
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _answer(send: Any, error: BrowseError) -> None:
    body = json.dumps({"error": str(error)}).encode()
    headers = HEADERS | {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "connection": "close",
    }
    start = {
        "type": "http.response.start",
        "status": error.status,
        "headers": _encoded(headers),
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
