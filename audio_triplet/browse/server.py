"""Serving: a socket, the line that says that it is ready, and an end by Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import threadpoolctl
import uvicorn
from absl import logging

from audio_triplet.browse import learning, pictures
from audio_triplet.browse.app import create_app
from audio_triplet.browse.security import Access, new_token
from audio_triplet.browse.session import Session
from audio_triplet.errors import AudioTripletError, UsageError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_END = 1  # for answers that are being sent


def bind(host: str, port: int) -> socket.socket:
    """A socket to serve on.

    Args:
      host: Name or address.
      port: 0: a free one.

    Raises:
      UsageError: It cannot be served there.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(
            f"--host={host}: is no address of this machine ({error.strerror}); leave it out"
        ) from None
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"--port={port}: is in use by another program; choose another, or 0 for a free one"
            ) from None
        raise UsageError(
            f"--host={host} --port={port}: cannot be served ({error.strerror}); choose another"
        ) from None
    opened.set_inheritable(False)
    return opened


def serve(
    session: Session,
    opened: socket.socket,
    host: str,
    on_ready: Callable[[str], object],
    prepare: bool = True,
) -> None:
    """Serves until Ctrl-C or SIGTERM.

    Args:
      session: What is served; closed at the end.
      opened: The socket, see `bind`.
      host: The name in its address.
      on_ready: Called with the address, token included, when it answers.
      prepare: Whether to load the model at once, in a thread.

    """
    port = opened.getsockname()[1]
    address = opened.getsockname()[0]
    access = access_for(host, address, port)
    app = create_app(session, access)
    named = _in_url(socket.gethostname() if ipaddress.ip_address(address).is_unspecified else host)
    url = f"http://{named}:{port}/?token={access.token}"

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn's own raises the signal again in the end, as if it had come twice.
            before = {}
            if threading.current_thread() is threading.main_thread():
                before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready(url)

    if prepare:
        threading.Thread(target=_prepare, args=(session,), daemon=True).start()
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_SECONDS_TO_END,
        http="h11",
        ws="none",
        loop="asyncio",
        proxy_headers=False,
    )
    # Products are small, or are divided among our own threads: others would wait for each other.
    with threadpoolctl.threadpool_limits(1, "blas"):
        Server(config).run([opened])


def access_for(host: str, address: str, port: int) -> Access:
    """Who may ask a server at this address.

    Args:
      host: The name that was asked for.
      address: What it is bound to.
      port: Its port.
    """
    names = {host.lower(), address}
    if ipaddress.ip_address(address).is_loopback:
        return Access(new_token(), port, frozenset(names | {"127.0.0.1", "localhost", "::1"}))
    names |= {socket.gethostname().lower(), socket.getfqdn().lower(), "localhost", "127.0.0.1"}
    return Access(new_token(), port, frozenset(names), any_address=True)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _prepare(session: Session) -> None:
    """Does what takes long before it is needed; what is wrong is said when it is."""
    try:
        session.learner.background(session.archives.now())
        learning.load_scoring()
        pictures.load()
        session.model()
    except AudioTripletError as error:
        logging.warning("%s", error)
