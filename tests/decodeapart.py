"""Decode recordings in a process of their own, whose time and memory are limited and that may crash."""

import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synatt.audio import AudioError, load_audio

# What the process may take beyond what its imports do, so that a wild allocation fails instead of filling the machine.
ROOM_BYTES = 1 << 30


@dataclass(frozen=True)
class Verdict:
    """What came of a recording.

    Attributes:
        kind: 'ok', the kind of the `AudioError`, or 'crash', 'hang' or 'unexpected' with what is known of it.
        seconds: of processor time that it took, which a busy machine does not lengthen.
        grown_mb: by how much the largest memory of the process has grown since it started.
    """

    path: str
    kind: str
    seconds: float
    grown_mb: float


def decode_apart(paths: Sequence[str], limit_s: float = 60.0) -> list[Verdict]:
    """Decode files one after the other; a process that crashes, or takes longer than `limit_s`, is replaced."""
    verdicts: list[Verdict] = []
    while len(verdicts) < len(paths):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.decodeapart"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdin and child.stdout
        assert child.stdout.readline() == b"ready\n"
        lost = False
        while not lost and len(verdicts) < len(paths):
            path = paths[len(verdicts)]
            child.stdin.write(json.dumps(path).encode() + b"\n")
            child.stdin.flush()
            if not select.select([child.stdout], [], [], limit_s)[0]:
                verdict, lost = Verdict(path, "hang", limit_s, 0.0), True
            elif line := child.stdout.readline():
                verdict = Verdict(path, *json.loads(line))
            else:
                verdict, lost = Verdict(path, f"crash: {child.wait()}", 0.0, 0.0), True
            verdicts.append(verdict)
        child.kill()
        child.communicate()
    return verdicts


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _kind(path: str) -> str:
    # What the harness itself is tested with.
    if path == "crash!":
        os.abort()
    if path == "hang!":
        time.sleep(60)
    try:
        found = load_audio(path)
    except AudioError as err:
        return err.kind if len(str(err).splitlines()) == 1 else f"unexpected: {err}"
    except BaseException as err:
        return f"unexpected: {type(err).__name__}: {err}"
    return "ok" if len(found.wave) else "unexpected: nothing"


def _answer() -> None:
    # Codecs write to stdout what is for nobody.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    with open("/proc/self/statm") as statm:
        room = int(statm.read().split()[0]) * resource.getpagesize() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    before_mb = _peak_mb()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        since = time.process_time()
        kind = _kind(json.loads(line))
        print(json.dumps([kind, time.process_time() - since, _peak_mb() - before_mb]), file=answers, flush=True)


if __name__ == "__main__":
    _answer()
