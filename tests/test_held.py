"""Opening what a shard names: the same speech wherever it lies, and a bad container costs its own rows only."""

import io
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synatt import storage
from synatt.audio import (
    AudioCorruptError,
    AudioEmptyFileError,
    AudioError,
    AudioMissingError,
    AudioTruncatedError,
    AudioUnreachableError,
    decode,
    load_audio,
)
from synatt.held import WHOLE_BYTES, opened, reading
from synatt.sources import read_rows
from tests.badfiles import encoded
from tests.inputrows import write_tar


def shard_of(*paths: object) -> pa.RecordBatch:
    table = pa.Table.from_batches([part.batch for part in read_rows([str(path) for path in paths])])
    return table.combine_chunks().to_batches()[0]


def wave_of(source: Any) -> Any:
    """The decoded samples, or the type of the error."""
    try:
        if isinstance(source, AudioError):
            raise source
        with reading(source):
            return (load_audio(source) if isinstance(source, str) else decode(source)).wave
    except AudioError as err:
        assert len(str(err).splitlines()) == 1
        return type(err)


def waves_of(*paths: object) -> list[Any]:
    return [wave_of(source) for source in opened(shard_of(*paths))]


def write_cells(path: Path, cells: list[bytes | None], rows_per_group: int = 5, **options: Any) -> Path:
    pq.write_table(pa.table({"bytes": pa.array(cells, pa.binary())}), path, row_group_size=rows_per_group, **options)
    return path


@pytest.fixture(scope="module")
def clips(speech: np.ndarray) -> list[bytes]:
    """Twelve recordings in four formats, none like another."""
    kinds = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
    return [encoded(speech[i * 4000 : i * 4000 + 16_000], *kinds[i % 4]) for i in range(12)]


SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def named(clips: list[bytes]) -> list[tuple[str, bytes]]:
    return [(f"{i:02d}{SUFFIXES[i % 4]}", clip) for i, clip in enumerate(clips)]


def test_speech_is_the_same_as_a_file_as_a_member_and_as_a_cell(tmp_path: Path, clips: list[bytes]) -> None:
    (tmp_path / "loose").mkdir()
    for name, clip in named(clips):
        (tmp_path / "loose" / name).write_bytes(clip)
    loose = waves_of(tmp_path / "loose")
    tar = waves_of(write_tar(tmp_path / "t.tar", named(clips)))
    cells = waves_of(write_cells(tmp_path / "c.parquet", list(clips)))
    assert len(loose) == len(tar) == len(cells) == 12
    for a, b, c in zip(loose, tar, cells, strict=True):
        assert len(a) > 15_000
        assert np.array_equal(a, b) and np.array_equal(a, c)


def test_a_shard_may_mix_everything_and_keeps_its_order(tmp_path: Path, clips: list[bytes]) -> None:
    (tmp_path / "a.wav").write_bytes(clips[0])
    tar = write_tar(tmp_path / "t.tar", [("1.flac", clips[1]), ("2.ogg", clips[2])])
    cells = write_cells(tmp_path / "c.parquet", [clips[3], clips[4]])
    found = waves_of(tmp_path / "a.wav", tar, cells)
    for wave, clip in zip(found, clips, strict=False):
        assert np.array_equal(wave, decode(clip).wave)
    turned = pa.Table.from_batches([shard_of(cells), shard_of(tmp_path / "a.wav"), shard_of(tar)])
    again = [wave_of(source) for source in opened(turned.combine_chunks().to_batches()[0])]
    assert all(np.array_equal(a, b) for a, b in zip(again, found[3:] + found[:1] + found[1:3], strict=True))


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each path was opened."""
    count: Counter[str] = Counter()
    plain = storage.open_input

    def counting(path: str) -> Any:
        count[path] += 1
        return plain(path)

    monkeypatch.setattr(storage, "open_input", counting)
    return count


def test_a_container_is_opened_once_for_all_its_rows(tmp_path: Path, clips: list[bytes], opens: Counter[str]) -> None:
    paths = [write_tar(tmp_path / f"{i}.tar", named(clips)) for i in range(3)]
    paths += [write_cells(tmp_path / f"{i}.parquet", list(clips)) for i in range(3)]
    shard = shard_of(*paths)
    opens.clear()
    assert sum(isinstance(wave_of(source), np.ndarray) for source in opened(shard)) == 6 * 12
    assert opens == {str(path): 1 for path in paths}


def test_nothing_stays_open(tmp_path: Path, clips: list[bytes]) -> None:
    shard = shard_of(write_tar(tmp_path / "t.tar", named(clips)), write_cells(tmp_path / "c.parquet", list(clips)))
    before = len(os.listdir("/proc/self/fd"))
    half_way = opened(shard)
    next(half_way)
    half_way.close()  # type: ignore[attr-defined]
    list(opened(shard))
    assert len(os.listdir("/proc/self/fd")) == before


class Spy:
    """A file that counts what is read of it, and from which some bytes cannot be read."""

    def __init__(self, path: str, dead: range) -> None:
        self.file: Any = PLAIN_OPEN(path)
        self.dead, self.count = dead, 0

    def read_at(self, count: int, at: int) -> bytes:
        if at < self.dead.stop and at + count > self.dead.start:
            raise OSError("AWS Error NETWORK_CONNECTION: the line is dead\nand more")
        self.count += count
        return self.file.read_at(count, at)

    def size(self) -> int:
        return self.file.size()

    def __enter__(self) -> "Spy":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


PLAIN_OPEN = storage.open_input
Spied = Callable[..., list[Spy]]


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> Spied:
    def start(dead: range = range(0)) -> list[Spy]:
        files: list[Spy] = []
        monkeypatch.setattr(storage, "open_input", lambda path: files.append(Spy(path, dead)) or files[-1])
        return files

    return start


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory, speech: np.ndarray) -> tuple[Path, np.ndarray]:
    """A tar with an hour of speech between two clips, and its first minute."""
    tile = np.tile(speech, 600)
    folder = tmp_path_factory.mktemp("hour")
    short = encoded(speech[:16_000])
    return write_tar(folder / "t.tar", [("a.wav", short), ("b.wav", encoded(tile)), ("c.wav", short)]), tile[:960_000]


def test_of_an_hour_in_a_tar_only_what_is_decoded_is_read(hour: tuple[Path, np.ndarray], spied: Spied) -> None:
    path, minute = hour
    shard = shard_of(path)
    files = spied()
    first, long, last = (wave_of(source) for source in opened(shard))
    assert np.array_equal(long * 32768, minute)
    assert np.array_equal(first, last)
    assert sum(file.count for file in files) < 4_000_000 < path.stat().st_size / 20


def test_a_member_is_a_file_of_its_own(hour: tuple[Path, np.ndarray]) -> None:
    shard = shard_of(hour[0])
    for row, source in zip(shard.to_pylist(), opened(shard), strict=True):
        if row["size"] > WHOLE_BYTES:
            assert source.seek(0, io.SEEK_END) == source.tell() == row["size"]  # type: ignore[union-attr]
            assert source.read(10) == b""  # type: ignore[union-attr]
            source.seek(8)  # type: ignore[union-attr]
            assert source.read(4) == b"WAVE"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["tar", "parquet"])
@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda path: path.unlink(), AudioMissingError),
        (lambda path: (path.unlink(), path.mkdir()), AudioUnreachableError),
        (lambda path: path.write_bytes(b""), (AudioTruncatedError, AudioCorruptError)),
        (lambda path: path.write_bytes(b"PAR1 something else PAR1"), (AudioTruncatedError, AudioCorruptError)),
    ],
    ids=["gone", "a folder", "empty", "something else"],
)
def test_a_container_that_is_lost_after_it_was_listed_costs_its_own_rows(
    tmp_path: Path, clips: list[bytes], kind: str, damage: Callable[[Path], object], error: Any
) -> None:
    def write(name: str) -> Path:
        path = tmp_path / f"{name}.{kind}"
        return write_tar(path, named(clips)) if kind == "tar" else write_cells(path, list(clips))

    paths = [write(name) for name in "abc"]
    shard = shard_of(*paths)
    damage(paths[1])
    found = [wave_of(source) for source in opened(shard)]
    assert all(isinstance(wave, np.ndarray) for wave in found[:12] + found[24:])
    assert all(issubclass(wave, error) for wave in found[12:24])
    assert len(found) == 36


def test_a_tar_cut_in_half_gives_its_first_half(tmp_path: Path, clips: list[bytes]) -> None:
    path = write_tar(tmp_path / "t.tar", named(clips))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    *found, cut, lost = waves_of(path)
    assert len(found) >= 2
    assert all(np.array_equal(wave, decode(clip).wave) for wave, clip in zip(found, clips, strict=False))
    assert (cut, lost) == (AudioTruncatedError, AudioCorruptError)


def test_a_member_that_lies_about_its_size_costs_itself(tmp_path: Path, clips: list[bytes]) -> None:
    path = write_tar(tmp_path / "t.tar", [("a.wav", clips[0]), ("b.wav", clips[4]), ("c.wav", clips[8])])
    whole = bytearray(path.read_bytes())
    for claimed, second in ((512, AudioTruncatedError), (1 << 30, AudioTruncatedError)):
        data = bytearray(whole)
        at = 512 + -(-len(clips[0]) // 512) * 512
        data[at + 124 : at + 136], data[at + 148 : at + 156] = b"%011o\0" % claimed, b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        path.write_bytes(data)
        first, lying, lost = waves_of(path)
        assert np.array_equal(first, decode(clips[0]).wave)
        assert (lying, lost) == (second, AudioCorruptError)


def test_an_empty_member_and_an_empty_or_missing_cell_are_empty_files(tmp_path: Path, clips: list[bytes]) -> None:
    tar = write_tar(tmp_path / "t.tar", [("a.wav", clips[0]), ("b.wav", b""), ("c.wav", clips[0])])
    cells = write_cells(tmp_path / "c.parquet", [clips[0], b"", None, clips[0]], rows_per_group=2)
    structs = pa.array([None, {"bytes": None, "path": "x"}, {"bytes": clips[0], "path": None}])
    pq.write_table(pa.table({"audio": structs}), tmp_path / "s.parquet")
    for path, empty in ((tar, {1}), (cells, {1, 2}), (tmp_path / "s.parquet", {0, 1})):
        found = waves_of(path)
        assert {i for i, wave in enumerate(found) if wave is AudioEmptyFileError} == empty
        assert sum(isinstance(wave, np.ndarray) for wave in found) == len(found) - len(empty)


def test_a_damaged_row_group_costs_no_other(tmp_path: Path, clips: list[bytes]) -> None:
    path = write_cells(tmp_path / "c.parquet", list(clips), 4, use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    about = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data[about.data_page_offset + 2000] ^= 0xFF
    path.write_bytes(data)
    found = waves_of(path)
    assert found[4:8] == [AudioCorruptError] * 4
    assert all(np.array_equal(found[i], decode(clips[i]).wave) for i in (*range(4), *range(8, 12)))


def test_a_table_that_has_changed_since_it_was_listed_has_lost_rows(tmp_path: Path, clips: list[bytes]) -> None:
    path = write_cells(tmp_path / "c.parquet", list(clips))
    shard = shard_of(path)
    write_cells(path, list(clips[:7]))
    found = [wave_of(source) for source in opened(shard)]
    assert all(isinstance(wave, np.ndarray) for wave in found[:7]) and found[7:] == [AudioMissingError] * 5
    pq.write_table(pa.table({"other": range(12)}), path)
    assert [wave_of(source) for source in opened(shard)] == [AudioMissingError] * 12


def test_of_a_row_group_only_the_wanted_rows_are_given_and_it_is_read_once(
    tmp_path: Path, speech: np.ndarray, spied: Spied
) -> None:
    clip = encoded(speech)
    path = write_cells(tmp_path / "c.parquet", [clip + bytes([i]) for i in range(60)], 30, use_dictionary=False)
    shard = shard_of(path)
    picked = [3, 4, 29, 30, 59]
    files = spied()
    found = list(opened(shard.take(pa.array(picked))))
    assert found == [clip + bytes([i]) for i in picked]
    # Footers, and no column twice.
    assert sum(file.count for file in files) < path.stat().st_size + 300_000


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_what_a_dead_line_does_not_give_is_unreachable_not_corrupt(
    tmp_path: Path, clips: list[bytes], kind: str, spied: Spied
) -> None:
    noise = np.random.default_rng(0).bytes(1 << 20)
    cells = [clips[0] + noise, clips[1] + noise, clips[2] + noise]
    if kind == "tar":
        path = write_tar(tmp_path / "t.tar", [(f"{i}.wav", cell) for i, cell in enumerate(cells)])
    else:
        path = write_cells(tmp_path / "c.parquet", cells, 1, use_dictionary=False, compression="none")
    shard = shard_of(path)
    spied(range(1_500_000, 1_500_001))
    found = list(opened(shard))
    assert (found[0], found[2]) == (cells[0], cells[2])
    assert isinstance(found[1], AudioUnreachableError)
    assert str(found[1]).startswith("reading stopped: ") and "the line is dead" in str(found[1])


def test_a_long_member_that_cannot_be_read_to_its_end_is_not_taken_for_a_damaged_one(
    hour: tuple[Path, np.ndarray], spied: Spied, capfd: pytest.CaptureFixture[str]
) -> None:
    shard = shard_of(hour[0])
    spied(range(1_500_000, 1_500_001))
    _, long, _ = map(type_of_failure, opened(shard))
    assert long == (AudioTruncatedError, AudioUnreachableError)
    assert capfd.readouterr().err == ""


def type_of_failure(source: Any) -> tuple[type | None, type | None]:
    """What is raised by decoding alone, and by decoding within `reading`."""
    alone = guarded = None
    try:
        decode(source)
    except AudioError as err:
        alone = type(err)
    try:
        with reading(source):
            decode(source)
    except AudioError as err:
        guarded = type(err)
    return alone, guarded


def test_what_was_decoded_stands_where_reading_did_not_fail(speech: np.ndarray) -> None:
    with reading(io.BytesIO(b"")), pytest.raises(AudioError):
        decode(encoded(speech)[:30])
    with pytest.raises(ValueError, match="mine"), reading("path"):
        raise ValueError("mine")


def test_local_files_are_passed_on_by_name(tmp_path: Path, clip_paths: list[str], opens: Counter[str]) -> None:
    lines = [*clip_paths, f"file://{clip_paths[0]}", "/not/there.wav"]
    (tmp_path / "l.txt").write_text("\n".join(lines))
    shard = shard_of(tmp_path / "l.txt")
    opens.clear()
    assert list(opened(shard)) == lines
    assert not opens
    assert list(opened(shard.slice(0, 0))) == []


def test_a_file_in_a_bucket_is_one_request(tmp_path: Path, clips: list[bytes], spied: Spied) -> None:
    for name, clip in [*named(clips), ("empty.wav", b"")]:
        storage.write_bytes(f"memory://held/{name}", clip)
    shard = shard_of("memory://held")
    files = spied()
    found = list(opened(shard))
    assert found[:-1] == clips
    assert isinstance(found[-1], AudioEmptyFileError)
    assert [file.count for file in files] == [*map(len, clips), 0]


def test_what_is_not_in_the_bucket_or_cannot_be_reached_is_told(tmp_path: Path, clips: list[bytes]) -> None:
    storage.write_bytes("memory://beside/a.wav", clips[0])
    (tmp_path / "l.txt").write_text("memory://beside/none.wav\nmemory://beside/a.wav\ntape://archive/x.wav\n")
    missing, wave, unreachable = waves_of(tmp_path / "l.txt")
    assert (missing, unreachable) == (AudioMissingError, AudioUnreachableError)
    assert np.array_equal(wave, decode(clips[0]).wave)
