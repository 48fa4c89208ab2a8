"""The web application: which address is answered by what."""

from __future__ import annotations

import contextlib
import importlib.resources
import inspect
import json
import mimetypes
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from absl import logging
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from audio_triplet.browse.fields import Fields
from audio_triplet.browse.routes import (
    counting,
    exchanging,
    labelling,
    learning,
    looking,
    mapping,
    searching,
)
from audio_triplet.browse.security import HEADERS, Access, Guard
from audio_triplet.browse.session import Session
from audio_triplet.errors import AudioError, AudioTripletError, BrowseError
from audio_triplet.web import templating

_GET: dict[str, Callable[..., Any]] = {
    "/api/index": looking.index,
    "/api/files": looking.files,
    "/api/file": looking.file,
    "/api/sound": looking.sound,
    "/api/picture": looking.picture,
    "/api/words": looking.words_like,
    "/api/labels": labelling.listed,
    "/api/classes": labelling.classes,
    "/api/next": learning.following,
    "/api/fit": learning.fit,
    "/api/curve": learning.curve,
    "/api/scores": learning.scores,
    "/api/count": counting.count,
    "/api/quality": counting.quality,
    "/api/map": mapping.state,
    "/api/map/points": mapping.points,
    "/api/timeline": mapping.timeline,
    "/api/export": exchanging.export,
}
_POST: dict[str, Callable[..., Any]] = {
    "/api/search": searching.search,
    "/api/labels": labelling.store,
    "/api/undo": labelling.undo,
    "/api/redo": labelling.redo,
    "/api/count": counting.ask_more,
    "/api/map": mapping.begin,
    "/api/import": exchanging.import_,
}
_STATIC = re.compile(r"((browse|shared)/)?[a-z0-9_]+\.(css|js)")
_VIEWS = {
    "find": "Search and label",
    "count": "How many, how good",
    "look": "Map and clock",
    "take": "Take away",
}
_NO_STORE = {"cache-control": "no-store"}


def create_app(session: Session, access: Access) -> Guard:
    """The application.

    Args:
      session: What it works on; closed when the server ends.
      access: Who may ask.

    Returns:
      An ASGI application.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(session.close)

    app = Starlette(
        routes=[
            Route("/", _page(session), methods=["GET"]),
            Route("/static/{name:path}", _static, methods=["GET"]),
            *(Route(address, _get(session, handler)) for address, handler in _GET.items()),
            *(
                Route(address, _post(session, handler), methods=["POST"])
                for address, handler in _POST.items()
            ),
        ],
        exception_handlers={
            HTTPException: _http_error,
            AudioTripletError: _error,
            ClientDisconnect: _gone,
            Exception: _defect,
        },
        lifespan=lifespan,
    )
    return Guard(app, access)


def _get(session: Session, handler: Callable[..., Any]) -> Callable[..., Any]:
    """What answers a GET: reads the URL's fields, and runs a route's function in a thread."""

    async def endpoint(request: Request) -> Response:
        options: dict[str, Any] = {}
        if handler is looking.sound:
            options["range_header"] = request.headers.get("range", "")
            options["head"] = request.method == "HEAD"
        fields = Fields.of_query(request.url.query)
        return _response(await run_in_threadpool(handler, session, fields, **options))

    return endpoint


def _post(session: Session, handler: Callable[..., Any]) -> Callable[..., Any]:
    """What answers a POST: reads its JSON, or its form where a file may be sent."""
    takes_file = "sent" in inspect.signature(handler).parameters

    async def endpoint(request: Request) -> Response:
        kind = request.headers.get("content-type", "").lower()
        if kind.startswith("multipart/form-data"):
            if not takes_file:
                raise BrowseError("the request: takes no form; send JSON")
            return await _with_form(request, session, handler)
        fields = Fields.of_json(await request.body() or b"{}")
        return _response(await run_in_threadpool(handler, session, fields))

    return endpoint


async def _with_form(request: Request, session: Session, handler: Any) -> Response:
    """Answers a form with a file."""
    async with request.form(max_files=1, max_fields=30) as form:
        sent = form.get("file")
        if not isinstance(sent, UploadFile):
            raise BrowseError("file: is missing; send a file in the field file of the form")
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        found = await run_in_threadpool(
            handler, session, Fields(values, typed=False), sent=sent.file, name=sent.filename
        )
    return _response(found)


def _response(found: Any) -> Response:
    if isinstance(found, Response):
        return found
    # ASCII: halves of surrogate pairs, of names that are no UTF-8, survive as escapes.
    content = json.dumps(found, allow_nan=False).encode("ascii")
    return Response(content, 200, _NO_STORE, "application/json")


def _page(session: Session) -> Callable[..., Any]:
    async def page(request: Request) -> Response:
        content = await run_in_threadpool(
            templating.environment().get_template("browse/window.html").render,
            title="Search, listen, label",
            sections=_VIEWS,
            data={},
            folder=session.folder,
        )
        return Response(content, 200, _NO_STORE, "text/html")

    return page


async def _static(request: Request) -> Response:
    """A style sheet or a script of the page; everybody may have it."""
    name = request.path_params["name"]
    file = importlib.resources.files("audio_triplet.web") / "static" / name
    if not _STATIC.fullmatch(name) or not file.is_file():
        raise HTTPException(404)
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return Response(file.read_bytes(), 200, {"cache-control": "no-cache"}, kind)


def _error_response(status: int, message: str) -> Response:
    content = json.dumps({"error": message}).encode("ascii")
    return Response(content, status, {**HEADERS, **_NO_STORE}, "application/json")


async def _error(request: Request, error: Exception) -> Response:
    """An error that whoever asks can mend."""
    status = error.status if isinstance(error, BrowseError) else 400
    if isinstance(error, AudioError):
        asks_wrongly = error.reason.startswith(("is silent", "no sound at", "has no part"))
        status = 400 if asks_wrongly else 404 if error.reason == "no such file" else 415
    return _error_response(status, str(error))


async def _http_error(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {
        404: "is no address of this server; see docs/browse_api.md",
        405: f"does not take {request.method}; see docs/browse_api.md",
    }
    detail = error.detail if isinstance(error, HTTPException) else ""
    shown = ascii(request.url.path[:200])[1:-1]
    return _error_response(status, f"{shown}: {words.get(status, f'{detail}; correct it')}")


async def _gone(request: Request, error: Exception) -> Response:
    """Whoever asked has gone."""
    return Response(status_code=499)


async def _defect(request: Request, error: Exception) -> Response:
    """A defect of ours; Starlette raises it on, and its traceback is logged."""
    logging.error("%s: %s", request.url.path, error)
    return _error_response(
        500, f"the server: failed ({type(error).__name__}); what it says stands in its terminal"
    )
