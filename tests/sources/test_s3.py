"""Every kind of input in a bucket of a real S3 server, and a server that goes away."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt import storage
from synatt.audio import AudioUnreachableError, decode
from synatt.held import opened, reading
from synatt.sources import read_rows
from tests.badfiles import encoded
from tests.inputrows import refused, rows_of, write_tar
from tests.s3server import SECRET, S3Server, point_at, s3_server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, speech: np.ndarray) -> Iterator[S3Server]:
    """A bucket that holds the same four clips as each kind of input."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        bucket = server.folder / "bucket"
        (bucket / "clips" / "deep").mkdir(parents=True)
        clips = {name: encoded(speech[i * 9000 : i * 9000 + 16_000]) for i, name in enumerate(NAMES)}
        for name, clip in clips.items():
            (bucket / "clips" / name).write_bytes(clip)
        (bucket / "l.txt").write_text("".join(f"clips/{name}\n" for name in NAMES))
        lines = "".join(f'{name},"s3://bucket/clips/{name}"\n' for name in NAMES)
        (bucket / "m.csv").write_text("track,path\n" + lines)
        write_tar(bucket / "t.tar", clips.items())
        pq.write_table(pa.table({"bytes": list(clips.values())}), bucket / "c.parquet", row_group_size=2)
        yield server


NAMES = ("a b+é.wav", "b.wav", "deep/c.wav", "deep/d.wav")
KINDS = ("clips", "l.txt", "m.csv", "t.tar", "c.parquet")


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    point_at(running, monkeypatch)
    return running


def waves_of(path: str) -> list[Any]:
    """The samples behind each row, or the error in their place."""
    waves = []
    for part in read_rows([path]):
        for source in opened(part.batch):
            try:
                with reading(source):
                    waves.append(source if isinstance(source, Exception) else decode(source).wave)
            except AudioUnreachableError as err:
                waves.append(err)
    return waves


@pytest.mark.parametrize("kind", KINDS)
def test_speech_comes_from_a_bucket_however_it_is_kept(server: S3Server, kind: str) -> None:
    found = waves_of(f"s3://bucket/{kind}")
    assert len(found) == 4
    for wave, name in zip(found, NAMES, strict=True):
        assert np.array_equal(wave, decode(str(server.folder / "bucket" / "clips" / name)).wave)


@pytest.mark.parametrize("kind", ["clips", "l.txt", "t.tar", "c.parquet"])
def test_the_server_may_be_named_in_the_uri(server: S3Server, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = rows_of(f"s3://bucket/{kind}")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    named = rows_of(f"s3://bucket/{kind}{server.options}")
    assert [(row["track"], row["at"], row["size"]) for row in named] == [
        (row["track"], row["at"], row["size"]) for row in plain
    ]
    assert all(row["location"] == there["location"] + server.options for row, there in zip(named, plain, strict=True))
    assert all(isinstance(wave, np.ndarray) for wave in waves_of(f"s3://bucket/{kind}{server.options}"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_bucket_does_not_hold_is_one_line(server: S3Server, kind: str) -> None:
    said = refused(f"s3://bucket/{kind}.none")
    assert said == f"no such file or folder: s3://bucket/{kind}.none"
    assert SECRET not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_went_away_costs_rows_but_no_run(server: S3Server, kind: str) -> None:
    shard = pa.Table.from_batches([part.batch for part in read_rows([f"s3://bucket/{kind}"])])
    storage.set_patience(0)
    server.stop()
    try:
        sources = list(opened(shard.combine_chunks().to_batches()[0]))
        assert "does not answer" in refused(f"s3://bucket/{kind}")
    finally:
        server.start()
        storage.set_patience(2.0)
    assert [type(source) for source in sources] == [AudioUnreachableError] * 4
    assert len(waves_of(f"s3://bucket/{kind}")) == 4


def test_a_server_that_goes_away_between_two_cells_costs_the_second(server: S3Server) -> None:
    noise = [np.random.default_rng(i).bytes(3 << 20) for i in range(3)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"bytes": noise}), sink, row_group_size=1, use_dictionary=False, compression="none")
    storage.write_bytes("s3://bucket/big.parquet", sink.getvalue().to_pybytes())
    shard = pa.Table.from_batches([part.batch for part in read_rows(["s3://bucket/big.parquet"])])
    sources = opened(shard.combine_chunks().to_batches()[0])
    storage.set_patience(0)
    try:
        assert next(sources) == noise[0]
        server.stop()
        assert isinstance(next(sources), AudioUnreachableError)
        server.start()
        assert next(sources) == noise[2]
    finally:
        server.stop()
        server.start()
        storage.set_patience(2.0)
