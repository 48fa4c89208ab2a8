"""Visits of a published archive, in a browser."""

import contextlib
import functools
import http.server
import pathlib
import re
import threading

import pytest

from audio_triplet.publish import runtime

READY = 240_000  # ms: machines that test are busy

# A microphone that beeps.
ARGUMENTS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


@contextlib.contextmanager
def served(folder, headers=()):
    """The address of a plain file server, with headers of its own."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

        def end_headers(self):
            for name, value in dict(headers).items():
                self.send_header(name, value)
            super().end_headers()

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def need_runtime():
    """Skips a test where LiteRT for browsers is not at hand."""
    packages = pathlib.Path(runtime.default_folder())
    if not all((packages / package.file).exists() for package in runtime.PACKAGES):
        pytest.skip("LiteRT for browsers was not fetched: audio-triplet publish does")


_CUT = re.compile(r"ERR_(INTERNET_DISCONNECTED|FAILED).*/sounds/")


def _said(message) -> str:
    return f"{message.text} {message.location['url']}"


class Visit:
    """A page of the site, and what it asked for and complained of."""

    def __init__(self, browser, host: str, path: str = "below/site/", **context):
        self.host = host
        self.asked, self.complaints = [], []
        self.address = f"{host}{path}"
        self.context = browser.new_context(**context)
        self.page = page = self.context.new_page()
        page.on("console", lambda message: self.complaints.append(_said(message)))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        page.goto(self.address)
        page.wait_for_selector("html[data-ready]", state="attached", timeout=READY)

    def wait(self, selector: str) -> None:
        self.page.wait_for_selector(selector, timeout=READY)

    def has(self, selector: str, text: str) -> None:
        self.wait(f"{selector}:has-text('{text}')")

    def close(self) -> None:
        """Everything was asked of the site alone, nothing was sent, nothing went wrong."""
        self.context.close()
        own = (self.address, f"blob:{self.host.rstrip('/')}", "data:")
        assert [request.url for request in self.asked if not request.url.startswith(own)] == []
        assert {request.method for request in self.asked} == {"GET"}
        assert not any(request.post_data or "?" in request.url for request in self.asked)
        # Sounds for pictures are not there while the network is cut.
        wrong = [text for text in self.complaints if not _CUT.search(text)]
        assert not wrong, wrong


def hits(page):
    page.wait_for_selector("#hits [data-path]", timeout=READY)
    return [
        (
            hit.get_attribute("data-path"),
            float(hit.get_attribute("data-start")),
            float(hit.get_attribute("data-score")),
        )
        for hit in page.query_selector_all("#hits [data-path]")
    ]
