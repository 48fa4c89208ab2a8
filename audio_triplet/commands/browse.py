"""Opens an index in the browser: search, listen, label, train and take away, in one place.

    audio-triplet browse --index=archive.index

It prints the address, with a token that lets you in, and opens it. The answers lie in
labels.sqlite in the index's folder, or in --labels; several tabs and processes may add to them at
the same time, and `audio-triplet index` may run beside. Ctrl-C ends it; nothing is lost.

Only this machine can reach it. --host=ADDRESS --open_to_network serves other machines too, without
encryption: whoever sees the address can listen to the sounds of the index, and label them.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import sys
import webbrowser
from collections.abc import Sequence

from absl import flags

from audio_triplet import storage
from audio_triplet.commands import config_flags
from audio_triplet.errors import UsageError


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string("index", None, config_flags.INDEX_HELP, required=True)
    flags.DEFINE_integer("port", 8080, "Port to serve on; 0: a free one.", 0, 65535)
    flags.DEFINE_boolean("open", True, "Open the address in the browser.")
    flags.DEFINE_string(
        "labels",
        None,
        "SQLite file of the answers; by default labels.sqlite in the index's folder. An index at "
        "an address needs it.",
    )
    flags.DEFINE_string("who", None, "Your name in the answers; by default that of the account.")
    flags.DEFINE_string("model", None, "Folder of the index's model, if it has moved.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to serve on; see --open_to_network.")
    flags.DEFINE_boolean(
        "open_to_network",
        False,
        "Let other machines in, at --host: whoever has the address, token included, can listen to "
        "the sounds of the index and label them; nothing is encrypted.",
    )


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    values = flags.FLAGS
    if argv[1:]:
        raise UsageError(f"{argv[1]}: browse takes no sounds; add them by audio-triplet index")
    if storage.is_remote(values.index) and not values.labels:
        raise UsageError(
            f"--index={values.index}: the answers would lie in a cache, which may be emptied; say "
            "where to keep them by --labels=FILE"
        )
    from audio_triplet.browse import server
    from audio_triplet.browse.session import Session
    from audio_triplet.search import remote_index

    opened = server.bind(values.host, values.port)
    try:
        local = ipaddress.ip_address(opened.getsockname()[0]).is_loopback
        if not local and not values.open_to_network:
            raise UsageError(
                f"--host={values.host}: other machines could listen to the sounds of the index and "
                "label them; say that they may by --open_to_network, or leave --host out"
            )
        who = values.who or _account()

        def on_ready(url: str) -> None:
            print(url, flush=True)
            if values.open:
                _open(url)

        with remote_index.reading(values.index) as folder:
            session = Session(folder, values.labels, values.model, who)
            server.serve(session, opened, values.host, on_ready)
        print("ended; all answers are kept", file=sys.stderr)
    finally:
        opened.close()


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return ""


def _open(url: str) -> None:
    """Opens the browser, where there is a screen for it: a text browser would take the terminal."""
    if os.name == "posix" and sys.platform != "darwin":
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return
    webbrowser.open(url)
