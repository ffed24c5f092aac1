"""A page in headless Chromium, driven over the DevTools protocol: what it asked for, what it said, what it shows."""

import asyncio
import base64
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Start-up noise is turned off, and no certificate, proxy or account of the machine is looked at.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --disable-dev-shm-usage --hide-scrollbars "
    "--remote-debugging-port=0"
).split()
START_S, SETTLE_S = 60.0, 0.3


@dataclass
class Seen:
    """What was seen of one page.

    Attributes:
        requests: every address asked for, the page's own included.
        console: console messages, log entries and exceptions.
        text: what a reader reads.
        images: (natural width, alternative text) of each image.
        overflow_px: by how much the page is wider than the window.
        png: a picture of the whole page; what can be unfolded is.
    """

    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    text: str = ""
    images: list[tuple[int, str]] = field(default_factory=list)
    overflow_px: int = 0
    png: bytes = b""

    @property
    def outside(self) -> list[str]:
        """Requests that leave the page."""
        return [url for url in self.requests[1:] if not url.startswith("data:")]


Browse = Callable[..., Seen]


@pytest.fixture(scope="session")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browse]:
    """`browse(path, width=1280, dark=False)` opens a page and returns what was `Seen`."""
    binary = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if binary is None:
        pytest.skip(f"no Chromium on the PATH (looked for {', '.join(CHROMIUM)})")
    profile = tmp_path_factory.mktemp("chromium")
    command = [binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile, process)

        def open_page(path: Path, width: int = 1280, dark: bool = False) -> Seen:
            return asyncio.run(_visit(port, path.resolve().as_uri(), width, dark))

        yield open_page
    finally:
        process.terminate()
        process.wait(timeout=20)


def _port(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    told = profile / "DevToolsActivePort"
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"Chromium ended with {process.returncode} before it was ready")
        if told.exists() and (lines := told.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError(f"Chromium was not ready within {START_S} s")


async def _visit(port: int, url: str, width: int, dark: bool) -> Seen:
    seen = Seen()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.put("/json/new?about:blank") as reply:
            target = await reply.json(content_type=None)
        async with http.ws_connect(f"/devtools/page/{target['id']}", max_msg_size=0) as socket:
            await _look(_Tab(socket, seen), url, width, dark)
        async with http.get(f"/json/close/{target['id']}"):
            pass
    return seen


class _Tab:
    """One DevTools connection; events go into `seen` as they arrive."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, seen: Seen) -> None:
        self.socket, self.seen, self.calls, self.loaded = socket, seen, 0, False

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.calls += 1
        await self.socket.send_json({"id": self.calls, "method": method, "params": params})
        while True:
            message = await self.receive(START_S)
            if message.get("id") == self.calls:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])

    async def receive(self, timeout_s: float) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json(timeout=timeout_s)
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.seen.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.seen.console.append(f"{params['type']}: {[a.get('value') for a in params['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.seen.console.append(f"exception: {params['exceptionDetails']['text']}")
        elif method == "Log.entryAdded":
            self.seen.console.append(f"{params['entry']['source']}: {params['entry']['text']}")
        elif method == "Page.loadEventFired":
            self.loaded = True
        return message

    async def evaluate(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return result["result"].get("value")


async def _look(tab: _Tab, url: str, width: int, dark: bool) -> None:
    for domain in ("Network", "Runtime", "Log", "Page"):
        await tab.call(f"{domain}.enable")
    await tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    await tab.call("Emulation.setEmulatedMedia", features=[scheme])
    await tab.call("Page.navigate", url=url)
    while not tab.loaded:
        await tab.receive(START_S)
    # Whatever the page does late is given the time to happen.
    await tab.evaluate(f"new Promise(done => setTimeout(done, {SETTLE_S * 1000}))")
    await tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    seen = tab.seen
    seen.text = await tab.evaluate("document.body.innerText")
    seen.images = [tuple(i) for i in await tab.evaluate("[...document.images].map(i => [i.naturalWidth, i.alt])")]
    root = "document.documentElement"
    seen.overflow_px = await tab.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
    picture = await tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
    seen.png = base64.b64decode(picture["data"])
