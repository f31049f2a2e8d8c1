"""A headless Chromium, spoken to in its DevTools protocol through a pair of pipes: no package and no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def browser_path() -> str | None:
    """A Chromium on this machine; None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def browser():
    """A browser without a page yet; ended with the block."""
    folder = tempfile.mkdtemp(prefix="convir-browser.")
    to_read, we_write = os.pipe()
    we_read, to_write = os.pipe()

    def connect():
        # The protocol's pipes are 3, to the browser, and 4, from it; ours may have these very numbers.
        ends = os.dup(to_read), os.dup(to_write)
        for number, end in enumerate(ends, start=3):
            os.dup2(end, number)

    process = subprocess.Popen(
        [browser_path(), *_FLAGS, f"--user-data-dir={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=connect,
        close_fds=False,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        with os.fdopen(we_write, "wb", 0) as out, os.fdopen(we_read, "rb", 0) as into:
            yield Tab(out, into)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Tab:
    """One page. ``complaints`` collects what its console said, and what its script threw."""

    def __init__(self, out, into) -> None:
        self._out, self._into, self._rest, self._id = out, into, b"", 0
        self._session = None
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params):
        """The result of a method of the protocol."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                return answer["result"]

    def show(self, path: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of this size, and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.resolve().as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str):
        """The value of a JavaScript expression, as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _receive(self):
        while b"\0" not in self._rest:
            part = self._into.read(65536)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        heard = json.loads(message)
        if heard.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(heard["params"]["args"]))
        if heard.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(heard["params"]["exceptionDetails"]))
        if heard.get("method") == "Log.entryAdded":
            self.complaints.append(heard["params"]["entry"]["text"])
        return heard
