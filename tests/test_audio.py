"""Decoding: every format to float32 mono at 16 kHz, or an error whose type says what is wrong."""

import errno
import http.server
import io
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given
from hypothesis import strategies as st

from synatt import storage
from synatt.audio import (
    Audio,
    AudioError,
    AudioFormatError,
    AudioLimitError,
    AudioMissingError,
    AudioNoSamplesError,
    AudioNotFiniteError,
    AudioSilentError,
    AudioUnreachableError,
    decode,
    from_array,
    load_audio,
)
from tests.badfiles import bad_contents, encoded, make_bad_files, make_bombs, of_unknown_length, silence
from tests.damage import Damaged, fuzz, make_damage
from tests.damagekinds import FORMATS
from tests.decodeapart import Verdict, decode_apart

GOLDEN = Path(__file__).parent / "data" / "golden_logmel.npz"
BAD = bad_contents(np.load(GOLDEN)["pcm16_6s"] / np.float32(32768))
BAD_PATHS = ["missing.wav", "folder.wav", "dangling_link.wav", "link_loop.wav", "pipe.wav", "below_a_file.wav/x.wav"]


def snr_db(truth: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10((truth**2).mean() / max(((truth - found) ** 2).mean(), 1e-20)))


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory, speech_wave: np.ndarray) -> dict[str, tuple[str, str]]:
    return make_bad_files(tmp_path_factory.mktemp("bad"), speech_wave)


@pytest.mark.parametrize(
    ("format", "subtype", "least_snr_db"),
    [
        ("WAV", "PCM_U8", 20),
        ("WAV", "PCM_16", 90),
        ("WAV", "PCM_24", 120),
        ("WAV", "PCM_32", 120),
        ("WAV", "FLOAT", 120),
        ("WAV", "DOUBLE", 120),
        ("WAV", "ALAW", 25),
        ("WAV", "ULAW", 25),
        ("WAV", "IMA_ADPCM", 10),
        ("WAVEX", "PCM_16", 90),
        ("RF64", "PCM_16", 90),
        ("W64", "PCM_16", 90),
        ("AIFF", "PCM_16", 90),
        ("AU", "PCM_16", 90),
        ("CAF", "PCM_16", 90),
        ("FLAC", "PCM_16", 90),
        ("FLAC", "PCM_24", 120),
        ("OGG", "VORBIS", 5),
        ("OGG", "OPUS", 5),
        ("MP3", "MPEG_LAYER_III", 5),
    ],
)
def test_every_format_gives_the_speech_that_went_in(
    speech_wave: np.ndarray, format: str, subtype: str, least_snr_db: float
) -> None:
    found = decode(encoded(speech_wave, format, subtype))
    assert found.wave.dtype == np.float32
    assert found.wave.flags.c_contiguous
    assert (found.sample_rate_hz, found.channels) == (16_000, 1)
    # ADPCM comes in blocks of some 500 samples.
    assert found.duration_s == pytest.approx(6.0, abs=0.05)
    assert snr_db(speech_wave, found.wave[:96_000]) > least_snr_db


@pytest.mark.parametrize(
    "rate_hz", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 37_800, 44_100, 48_000, 96_000]
)
def test_every_rate_comes_out_at_16_khz(speech_wave: np.ndarray, rate_hz: int) -> None:
    there = soxr.resample(speech_wave, 16_000, rate_hz, quality="VHQ")
    found = decode(encoded(there, subtype="FLOAT", rate_hz=rate_hz))
    assert found.sample_rate_hz == rate_hz
    assert found.duration_s == pytest.approx(6.0, abs=0.001)
    assert abs(len(found.wave) - 96_000) <= 1
    truth = speech_wave if rate_hz >= 16_000 else soxr.resample(there, rate_hz, 16_000, quality="VHQ")
    assert snr_db(truth[:95_999], found.wave[:95_999]) > 25


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_are_averaged(golden: dict[str, np.ndarray], channels: int) -> None:
    long = golden["pcm16_8s"] / np.float32(32768)
    many = np.stack([long[i * 4000 : i * 4000 + 64_000] for i in range(channels)], axis=1)
    found = decode(encoded(many, subtype="FLOAT"))
    assert found.channels == channels
    np.testing.assert_allclose(found.wave, many.mean(axis=1), atol=1e-6)


def test_speech_resampled_up_and_read_back_is_the_same_speech(speech_wave: np.ndarray) -> None:
    there = soxr.resample(speech_wave, 16_000, 48_000, quality="VHQ")
    back = decode(encoded(there, subtype="FLOAT", rate_hz=48_000)).wave
    # The last hertz below 8 kHz fall into the filter's slope.
    assert snr_db(speech_wave, back) > 30


def test_a_tone_above_8_khz_does_not_fold_back() -> None:
    t = np.arange(48_000) / 48_000
    for tone_hz in (8_500, 10_000, 15_000, 23_000):
        tone = 0.9 * np.sin(2 * np.pi * tone_hz * t).astype(np.float32)
        left = decode(encoded(tone, subtype="FLOAT", rate_hz=48_000)).wave[1_000:-1_000]
        assert 20 * np.log10(np.sqrt((left**2).mean()) / np.sqrt((tone**2).mean())) < -60


def test_a_tone_below_7_khz_passes_unchanged() -> None:
    t = np.arange(48_000) / 48_000
    tone = 0.5 * np.sin(2 * np.pi * 6_900 * t).astype(np.float32)
    found = decode(encoded(tone, subtype="FLOAT", rate_hz=48_000)).wave[1_000:-1_000]
    truth = 0.5 * np.sin(2 * np.pi * 6_900 * np.arange(16_000) / 16_000)[1_000:-1_000]
    assert snr_db(truth, found) > 60


@given(st.lists(st.integers(-32768, 32767), min_size=2, max_size=400).filter(lambda x: len(set(x)) > 1))
def test_16_bit_samples_come_back_exactly(samples: list[int]) -> None:
    pcm = np.array(samples, dtype=np.int16)
    found = decode(encoded(pcm))
    assert np.array_equal(found.wave * 32768, pcm)
    assert found.duration_s == len(pcm) / 16_000


class CountingFile(io.RawIOBase):
    """A two-hour 8-bit recording at 8 kHz that exists only where it is read."""

    samples = 2 * 3600 * 8_000

    def __init__(self) -> None:
        riff = struct.pack("<4sI4s", b"RIFF", 36 + self.samples, b"WAVE")
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
        self.header = riff + form + struct.pack("<4sI", b"data", self.samples)
        self._at = self.bytes_read = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self.header) + self.samples)[whence]
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), len(self.header) + self.samples - self._at))
        place = np.arange(self._at, self._at + count)
        content = (128 + 60 * np.sin(place / 7.0)).astype(np.uint8)
        head = place < len(self.header)
        content[head] = np.frombuffer(self.header, np.uint8)[place[head]]
        buffer[:count] = content.tobytes()
        self._at += count
        self.bytes_read += count
        return count


def test_no_more_is_read_of_a_two_hour_file_than_is_asked_for() -> None:
    file = CountingFile()
    found = decode(file, read_s=10.0)  # type: ignore[arg-type]
    assert len(found.wave) == 160_000
    assert found.duration_s == 7200.0
    # 80,000 bytes of samples, and what buffers and headers take.
    assert file.bytes_read < 200_000


def test_a_two_hour_file_on_disk_opens_like_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as f:
        f.write(CountingFile().header)
        f.write(np.tile(np.arange(256, dtype=np.uint8), 400).tobytes())
        f.truncate(44 + CountingFile.samples)
    assert load_audio(str(path), read_s=6.0).duration_s == 7200.0


def test_a_shorter_reading_is_the_start_of_a_longer_one(speech: np.ndarray) -> None:
    data = encoded(speech, "FLAC")
    assert np.array_equal(decode(data, 2.5).wave, decode(data).wave[:40_000])


def test_a_streamed_wav_that_does_not_know_its_length_is_read_to_its_end(speech: np.ndarray) -> None:
    for unknown in (0xFFFFFFFF, 0x7FFFFFFF):
        data = bytearray(encoded(speech))
        struct.pack_into("<I", data, 40, unknown)
        assert np.array_equal(decode(bytes(data)).wave, decode(encoded(speech)).wave)


def test_a_streamed_flac_that_does_not_know_its_length_is_read_to_its_end(speech: np.ndarray) -> None:
    data = of_unknown_length(encoded(speech, "FLAC"))
    found = decode(data)
    assert np.array_equal(found.wave * 32768, speech)
    assert found.duration_s == 6.0


def test_the_length_of_a_streamed_flac_that_goes_on_is_unknown(speech: np.ndarray) -> None:
    found = decode(of_unknown_length(encoded(speech, "FLAC")), read_s=2.5)
    assert np.array_equal(found.wave * 32768, speech[:40_000])
    assert found.duration_s is None


@pytest.mark.parametrize("kind", [("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_a_recording_decoded_in_many_blocks_is_the_one_decoded_at_once(
    golden: dict[str, np.ndarray], kind: tuple[str, str]
) -> None:
    many = soxr.resample(np.stack([golden["pcm16_8s"], golden["pcm16_8s"][::-1]], axis=1) / 32768, 16_000, 44_100)
    data = encoded(np.tile(many, (4, 1)), *kind, rate_hz=44_100)
    at_once, rate_hz = sf.read(io.BytesIO(data), dtype="float32")
    whole = soxr.resample(at_once.mean(axis=1, dtype=np.float32), rate_hz, 16_000, quality="HQ")
    np.testing.assert_allclose(decode(data).wave, whole, rtol=0, atol=1e-6)


def test_the_length_of_a_cut_mp3_is_what_was_decoded(speech: np.ndarray) -> None:
    data = encoded(speech, "MP3", "MPEG_LAYER_III")
    found = decode(data[: len(data) // 2])
    assert found.duration_s == len(found.wave) / 16_000 < 3.5


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_raise_the_error_named_for_what_is_wrong(name: str) -> None:
    content, kind = BAD[name]
    with pytest.raises(AudioError) as caught:
        decode(content)
    assert caught.value.kind == kind
    assert str(caught.value)


@pytest.mark.parametrize("name", [*BAD, *BAD_PATHS])
def test_a_bad_file_raises_the_error_named_for_what_is_wrong(bad_files: dict[str, tuple[str, str]], name: str) -> None:
    path, kind = bad_files[name]
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    assert caught.value.kind == kind
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("tags", [b"", b"ID3\x03\0\0\0\0\0\x04abcd" * 3])
def test_a_format_that_does_harm_to_open_is_not_audio(speech: np.ndarray, tags: bytes) -> None:
    for kind in (("SVX", "PCM_16"), ("SDS", "PCM_16")):
        with pytest.raises(AudioFormatError, match="8SVX, 16SV and SDS"):
            decode(tags + encoded(speech, *kind))


def test_a_minute_of_eight_channels_at_192_khz_is_decoded(speech_wave: np.ndarray) -> None:
    second = np.repeat(soxr.resample(speech_wave[16_000:32_000], 16_000, 192_000)[:, None], 8, axis=1)
    out = io.BytesIO()
    with sf.SoundFile(out, "w", 192_000, 8, "PCM_16", format="FLAC") as file:
        file.write(second)
        for _ in range(59):
            file.write(np.zeros((192_000, 8), np.int16))
    found = decode(out.getvalue())
    assert (found.duration_s, found.channels, len(found.wave)) == (60.0, 8, 960_000)


def test_a_short_recording_may_have_more_channels_than_a_minute_may(speech: np.ndarray) -> None:
    many = np.repeat(speech[:, None], 64, axis=1)
    assert decode(encoded(many, rate_hz=192_000)).channels == 64
    with pytest.raises(AudioLimitError, match="92160000 are accepted for 60 s"):
        decode(silence("WAV", "PCM_U8", 192_000, 64, 8.0))


def test_what_would_be_huge_or_endless_to_decode_costs_seconds_and_little_memory(
    tmp_path: Path, speech_wave: np.ndarray
) -> None:
    bombs = make_bombs(tmp_path, speech_wave)
    verdicts = decode_apart([path for path, _ in bombs.values()])
    assert {name: verdict.kind for name, verdict in zip(bombs, verdicts, strict=True)} == {
        name: kind for name, (_, kind) in bombs.items()
    }
    assert max(verdict.seconds for verdict in verdicts) < 5
    assert max(verdict.grown_mb for verdict in verdicts) < 300


def test_a_name_too_long_for_the_disk_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreachableError, match=os.strerror(errno.ENAMETOOLONG)):
        load_audio(str(tmp_path / ("n" * 300)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_unreachable(bad_files: dict[str, tuple[str, str]]) -> None:
    with pytest.raises(AudioUnreachableError, match="permission denied"):
        load_audio(bad_files["locked.wav"][0])


def test_bad_files_leave_no_file_open(bad_files: dict[str, tuple[str, str]]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path, _ in bad_files.values():
        with pytest.raises(AudioError):
            load_audio(path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "name", ["Zoë 語音 🎙.wav", "new\nline.wav", "a?b#c%20.wav", "headerless.raw", "no_suffix", "\udcff.wav"]
)
def test_what_a_file_is_called_does_not_matter(tmp_path: Path, speech: np.ndarray, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(speech))
    assert np.array_equal(load_audio(str(path)).wave * 32768, speech)


def test_a_file_uri_is_a_local_path(tmp_path: Path, speech: np.ndarray) -> None:
    (tmp_path / "x.wav").write_bytes(encoded(speech))
    assert np.array_equal(load_audio(f"file://{tmp_path}/x.wav").wave * 32768, speech)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of nobody, so that no service is asked for any."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(speech: np.ndarray, keys: None) -> Iterator[tuple[str, list[int]]]:
    """A tiny object store: the query that reaches it, and the byte counts that it served. It holds `long.wav`."""
    content, served = encoded(np.tile(speech, 20)), []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, body: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            status = 200 if self.path.endswith("long.wav") else 403 if self.path.endswith("secret.wav") else 404
            self._answer(status, b"", len(content) if status == 200 else 0)

        def do_GET(self) -> None:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1]
            served.append(len(part))
            self._answer(206, part)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1", served
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_the_needed_part_of_a_bucket_object_is_fetched(bucket: tuple[str, list[int]], speech: np.ndarray) -> None:
    query, served = bucket
    found = load_audio(f"s3://voices/long.wav{query}", read_s=3.0)
    assert np.array_equal(found.wave * 32768, speech[:48_000])
    assert found.duration_s == 120.0
    assert sum(served) < 4 * 96_000


def test_a_key_that_is_not_in_the_bucket_is_missing(bucket: tuple[str, list[int]]) -> None:
    with pytest.raises(AudioMissingError):
        load_audio(f"s3://voices/none.wav{bucket[0]}")


def test_a_bucket_that_refuses_is_unreachable(bucket: tuple[str, list[int]]) -> None:
    with pytest.raises(AudioUnreachableError, match=r"s3://voices/secret\.wav"):
        load_audio(f"s3://voices/secret.wav{bucket[0]}")


def test_a_bucket_that_does_not_answer_is_unreachable(keys: None) -> None:
    with pytest.raises(AudioUnreachableError, match="voices"):
        load_audio("s3://voices/x.wav?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")


def test_a_recording_in_a_bucket_that_goes_away_is_unreachable(
    speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(io.BytesIO):
        def size(self) -> int:
            return len(self.getvalue())

        def read_at(self, count: int, at: int) -> bytes:
            if at > 100_000:
                raise OSError("the line is dead")
            return self.getvalue()[at : at + count]

    for kind in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")):
        monkeypatch.setattr(storage, "open_input", lambda _: Dying(encoded(np.tile(speech, 8), *kind)))
        with pytest.raises(AudioUnreachableError, match="reading stopped: the line is dead"):
            load_audio("s3://voices/x")


def test_a_uri_that_nothing_serves_is_unreachable() -> None:
    with pytest.raises(AudioUnreachableError, match="no filesystem serves 'tape://'"):
        load_audio("tape://archive/x.wav")


def test_an_array_is_taken_as_it_is(speech_wave: np.ndarray) -> None:
    found = from_array(speech_wave.astype(np.float64))
    assert found.wave.dtype == np.float32
    assert np.array_equal(found.wave, speech_wave)
    assert (found.duration_s, found.sample_rate_hz, found.channels) == (6.0, 16_000, 1)


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((2, 100), np.float32), AudioFormatError),
        (np.arange(100, dtype=np.int16), AudioFormatError),
        (np.float32(1.0), AudioFormatError),
        (np.zeros(0, np.float32), AudioNoSamplesError),
        (np.array([0.0, np.nan]), AudioNotFiniteError),
        (np.array([0.0, -np.inf]), AudioNotFiniteError),
        (np.full(100, 0.5), AudioSilentError),
    ],
)
def test_an_array_that_cannot_be_used_raises_what_a_file_would(array: np.ndarray, error: type[AudioError]) -> None:
    with pytest.raises(error):
        from_array(array)


def assert_audio_or_audio_error(data: bytes) -> None:
    try:
        found = decode(data, read_s=2.0)
    except AudioError as err:
        assert str(err)
        return
    assert isinstance(found, Audio)
    assert found.wave.dtype == np.float32
    assert found.wave.ndim == 1
    assert len(found.wave)
    assert np.isfinite(found.wave).all()
    assert found.duration_s > 0


MAGIC = st.sampled_from(
    [b"", b"RIFF\x00\x00\x00\x00WAVEfmt ", b"fLaC", b"OggS", b"ID3\x03", b"\xff\xfb", b"FORM", b".snd", b"caff"]
)


@given(MAGIC, st.binary(max_size=300))
def test_any_bytes_give_speech_or_an_audio_error(magic: bytes, rest: bytes) -> None:
    assert_audio_or_audio_error(magic + rest)


KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("RF64", "PCM_24"),
    ("AIFF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
WHOLE = {kind: encoded(np.load(GOLDEN)["pcm16_6s"][16_000:24_000], *kind) for kind in KINDS}


@given(st.sampled_from(KINDS), st.data())
def test_a_damaged_recording_gives_speech_or_an_audio_error(kind: tuple[str, str], data: st.DataObject) -> None:
    damaged = bytearray(WHOLE[kind])
    # Most of what can go wrong stands in the first hundred bytes.
    place = st.one_of(st.integers(0, 100), st.integers(0, len(damaged) - 1))
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        damaged[at] = value
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    assert_audio_or_audio_error(bytes(damaged[:cut]))


def test_a_file_object_is_read_from_its_start(tmp_path: Path, speech: np.ndarray) -> None:
    sf.write(tmp_path / "x.flac", speech, 16_000)
    with (tmp_path / "x.flac").open("rb") as file:
        assert np.array_equal(decode(file).wave * 32768, speech)


def test_a_damaged_recording_leaves_nothing_on_the_terminal(
    speech: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind in (("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("CAF", "PCM_16"), ("OGG", "VORBIS")):
        for data in fuzz(encoded(speech[16_000:24_000], *kind), 0, 60):
            assert_audio_or_audio_error(data)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def many_damaged(tmp_path_factory: pytest.TempPathFactory, speech_wave: np.ndarray) -> list[Damaged]:
    return make_damage(tmp_path_factory.mktemp("damage"), speech_wave, 7)


def test_there_are_hundreds_of_damaged_recordings_of_dozens_of_kinds(many_damaged: list[Damaged]) -> None:
    assert (
        len(many_damaged) == len({one.track for one in many_damaged}) == len({one.path for one in many_damaged}) == 260
    )
    assert len({one.kind for one in many_damaged}) >= 25
    count = Counter(one.expect for one in many_damaged)
    assert min(count["ok"], count[None]) >= 25
    assert count.total() - count["ok"] - count[None] >= 120


def test_the_same_seed_makes_the_same_damage(
    tmp_path: Path, speech_wave: np.ndarray, many_damaged: list[Damaged]
) -> None:
    for one, again in zip(many_damaged, make_damage(tmp_path, speech_wave, 7), strict=True):
        assert (one.track, one.expect) == (again.track, again.expect)
        if one.kind not in ("place", "name"):
            assert Path(one.path).read_bytes() == Path(again.path).read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    assert any(
        Path(one.path).read_bytes() != Path(of_other_seed.path).read_bytes()
        for one, of_other_seed in zip(many_damaged, make_damage(other, speech_wave, 8), strict=True)
        if one.kind == "good"
    )


def test_every_damaged_recording_gives_what_is_expected_of_it(many_damaged: list[Damaged]) -> None:
    verdicts = decode_apart([one.path for one in many_damaged])
    for one, verdict in zip(many_damaged, verdicts, strict=True):
        assert verdict.kind in ({one.expect} if one.expect else ANSWERS), (one, verdict)
        assert verdict.seconds < 5, (one, verdict)
    assert max(verdict.grown_mb for verdict in verdicts) < 300


# What a recording may come to: samples, or an error with a name.
ANSWERS = {"ok", *(kind.kind for kind in AudioError.__subclasses__())}


def test_a_decoder_that_crashes_or_hangs_is_noticed(tmp_path: Path, speech: np.ndarray) -> None:
    (tmp_path / "good.wav").write_bytes(encoded(speech))
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path / "good.wav"), "crash!", str(tmp_path / "good.wav"), "hang!", str(tmp_path / "good.wav")]
    assert [verdict.kind for verdict in decode_apart(paths, 1.0)] == ["ok", "crash: -6", "ok", "hang", "ok"]


@pytest.mark.fuzz
@pytest.mark.parametrize("suffix, format, subtype", FORMATS)
def test_whatever_a_recording_is_mangled_to_is_samples_or_an_error_with_a_name(
    tmp_path: Path, speech_wave: np.ndarray, suffix: str, format: str, subtype: str
) -> None:
    whole = encoded(speech_wave[16_000:24_000], format, subtype)
    paths = []
    for number, variant in enumerate(fuzz(whole, 2022, 150)):
        paths.append(str(tmp_path / f"{number}{suffix}"))
        Path(paths[-1]).write_bytes(variant)
    verdicts: list[Verdict] = decode_apart(paths)
    print(format, subtype, dict(Counter(verdict.kind for verdict in verdicts)))
    for verdict in verdicts:
        assert verdict.kind in ANSWERS, verdict
        assert verdict.seconds < 5, verdict
        assert verdict.grown_mb < 300, verdict
