"""Windows of long recordings: all of the speech, in order, while memory stays flat."""

import io
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given
from hypothesis import strategies as st

from synatt.audio import (
    AudioCorruptError,
    AudioError,
    AudioLimitError,
    AudioMissingError,
    AudioNotFiniteError,
    AudioSilentError,
    AudioTruncatedError,
    AudioUnreachableError,
    decode,
)
from synatt.byterange import ByteRange
from synatt.errors import UsageError
from synatt.windows import Window, open_windows
from tests.badfiles import encoded, of_unknown_length, patched
from tests.damage import make_damage


def windows_of(source: Any, seconds: float = 2.0, hop_s: float = 1.0, limit_s: float = 3600.0) -> list[Window]:
    with open_windows(source, seconds, hop_s, limit_s) as long:
        return list(long)


def windows_before_error(source: Any) -> tuple[list[Window], type[AudioError]]:
    """The windows of 1 s every 0.5 s that came, and the type of the error that ended them."""
    came = []
    with pytest.raises(AudioError) as caught, open_windows(source, 1.0, 0.5) as long:
        for window in long:
            came.append(window)
    assert len(str(caught.value).splitlines()) == 1
    return came, caught.type


@pytest.mark.parametrize(("seconds", "hop_s"), [(2.0, 1.0), (2.0, 2.0), (1.5, 0.4), (5.9, 0.1), (0.025, 0.01)])
@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_windows_are_parts_of_what_decode_gives(
    speech: np.ndarray, kind: tuple[str, str], seconds: float, hop_s: float
) -> None:
    data = encoded(np.tile(speech, 3), *kind)
    whole = decode(data)
    with open_windows(data, seconds, hop_s) as long:
        assert (long.duration_s, long.sample_rate_hz, long.channels) == (whole.duration_s, 16_000, 1)
        found = list(long)
    for window in found:
        start = round(window.start_s * 16_000)
        assert window.wave.dtype == np.float32
        assert np.array_equal(window.wave, whole.wave[start : start + round(seconds * 16_000)])
    assert found[-1].start_s + seconds == pytest.approx(len(whole.wave) / 16_000)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_windows_of_another_rate_are_parts_of_the_whole_resampled_at_once(
    speech_wave: np.ndarray, rate_hz: int
) -> None:
    there = soxr.resample(np.tile(speech_wave, 4), 16_000, rate_hz)
    stereo = np.stack([there, there[::-1]], axis=1)
    whole = soxr.resample(stereo.mean(axis=1, dtype=np.float32), rate_hz, 16_000, quality="HQ")
    found = windows_of(encoded(stereo, subtype="FLOAT", rate_hz=rate_hz), 3.0, 1.3)
    for window in found:
        start = round(window.start_s * 16_000)
        np.testing.assert_allclose(window.wave, whole[start : start + 48_000], rtol=0, atol=1e-6)
    assert len(found) == 18


@given(
    samples=st.integers(10, 40_000),
    rate_hz=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    length=st.integers(100, 9_000),
    data=st.data(),
)
def test_windows_cover_every_sample_once_in_order(samples: int, rate_hz: int, length: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(max(1, length // 50), length), "hop")
    content = encoded(np.random.default_rng(samples).uniform(-1, 1, samples), subtype="FLOAT", rate_hz=rate_hz)
    whole = decode(content).wave
    found = windows_of(content, length / 16_000, hop / 16_000)
    starts = [round(window.start_s * 16_000) for window in found]
    assert starts[0] == 0
    assert all(0 < after - before <= hop for before, after in zip(starts, starts[1:], strict=False))
    assert len(found) == 1 + max(0, math.ceil((len(whole) - length) / hop))
    assert starts[-1] == max(0, len(whole) - length)
    for start, window in zip(starts, found, strict=True):
        assert np.array_equal(window.wave, whole[start : start + length])


def test_a_recording_shorter_than_a_window_is_one_short_window(speech: np.ndarray) -> None:
    (window,) = windows_of(encoded(speech[:9_000]))
    assert window.start_s == 0
    assert np.array_equal(window.wave * 32768, speech[:9_000])


def test_a_recording_as_long_as_a_window_is_one_window(speech: np.ndarray) -> None:
    (window,) = windows_of(encoded(speech[:32_000]))
    assert np.array_equal(window.wave * 32768, speech[:32_000])


def test_a_window_does_not_change_when_the_next_is_taken(speech: np.ndarray) -> None:
    found = windows_of(encoded(speech))
    assert all(window.wave.base is None for window in found)


def test_windows_come_from_a_path_a_uri_and_a_file(tmp_path: Path, speech: np.ndarray) -> None:
    import fsspec

    data = encoded(speech)
    (tmp_path / "x.wav").write_bytes(data)
    fsspec.filesystem("memory").pipe("voices/x.wav", data)
    want = windows_of(data)
    for source in (
        str(tmp_path / "x.wav"),
        f"file://{tmp_path}/x.wav",
        "memory://voices/x.wav",
        io.BytesIO(data),
    ):
        found = windows_of(source)
        assert [window.start_s for window in found] == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert all(np.array_equal(a.wave, b.wave) for a, b in zip(found, want, strict=True))


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AudioMissingError):
        windows_of(str(tmp_path / "none.wav"))


@pytest.mark.parametrize("hop_s", [0.0, -1.0, 2.1, 1e-6])
def test_windows_that_would_leave_something_out_are_refused(speech: np.ndarray, hop_s: float) -> None:
    with pytest.raises(UsageError, match="cannot start every"):
        windows_of(encoded(speech), 2.0, hop_s)


def test_what_a_header_gives_away_is_raised_before_any_window(speech: np.ndarray) -> None:
    data = encoded(speech)
    assert windows_before_error(data[:100_000]) == ([], AudioTruncatedError)
    assert windows_before_error(patched(data, 24, "<I", 1_000_000_000)) == ([], AudioLimitError)


def test_windows_before_a_number_that_is_none_are_sound(speech_wave: np.ndarray) -> None:
    long = np.tile(speech_wave, 20)
    whole = long.copy()
    long[100 * 16_000] = np.nan
    found, error = windows_before_error(encoded(long, subtype="FLOAT"))
    assert error is AudioNotFiniteError
    # Samples are decoded and checked some seconds at a time.
    assert 180 < len(found) <= 199
    for window in found:
        start = round(window.start_s * 16_000)
        assert np.array_equal(window.wave, whole[start : start + 16_000])


def test_windows_before_a_place_that_cannot_be_decoded_are_sound(speech: np.ndarray) -> None:
    long = np.tile(speech, 20)
    data = encoded(long, "FLAC")
    found, error = windows_before_error(data[: len(data) // 2])
    assert error is AudioCorruptError
    assert 90 < len(found) < 120
    for window in found:
        start = round(window.start_s * 16_000)
        assert np.array_equal(window.wave * 32768, long[start : start + 16_000])


class Dying:
    """A recording on storage that stops answering half way."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read_at(self, count: int, at: int) -> bytes:
        if at + count > len(self.content) // 2:
            raise OSError("the line is dead")
        return self.content[at : at + count]


@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("OGG", "VORBIS")])
def test_storage_that_stops_answering_is_not_taken_for_the_end(speech: np.ndarray, kind: tuple[str, str]) -> None:
    content = encoded(np.tile(speech, 10), *kind)
    whole = decode(content).wave
    file = io.BufferedReader(ByteRange(Dying(content), 0, len(content)), 1 << 14)
    found, error = windows_before_error(file)
    assert error is AudioUnreachableError
    for window in found:
        start = round(window.start_s * 16_000)
        assert np.array_equal(window.wave, whole[start : start + 16_000])


def test_a_silent_stretch_is_windows_like_any_other(speech: np.ndarray) -> None:
    found = windows_of(encoded(np.concatenate([np.zeros(10 * 16_000, np.int16), speech])))
    assert len(found) == 15
    assert [bool(window.wave.any()) for window in found] == [False] * 9 + [True] * 6


def test_a_recording_that_is_silent_to_its_end_is_an_error(speech: np.ndarray) -> None:
    assert windows_before_error(encoded(np.full(16_000 * 30, 500, np.int16)))[1] is AudioSilentError
    assert windows_before_error(encoded(np.zeros(100, np.int16))) == ([], AudioSilentError)


def test_a_longer_recording_than_allowed_is_refused_by_its_header(speech: np.ndarray) -> None:
    data = encoded(speech)
    with (
        pytest.raises(AudioLimitError, match="header claims 6 s; at most 5 s"),
        open_windows(data, 2.0, 1.0, limit_s=5.0),
    ):
        pytest.fail("it was opened")
    assert len(windows_of(data, limit_s=6.0)) == 5


def test_a_day_and_more_that_a_header_claims_are_refused(speech: np.ndarray) -> None:
    flac = encoded(speech, "FLAC")
    claims = struct.unpack_from(">Q", flac, 18)[0] | (1 << 36) - 1
    assert windows_before_error(patched(flac, 18, ">Q", claims)) == ([], AudioLimitError)


def test_the_length_of_a_streamed_flac_is_known_at_its_end(speech: np.ndarray) -> None:
    data = of_unknown_length(encoded(np.tile(speech, 3), "FLAC"))
    with open_windows(data, 2.0, 1.0) as long:
        assert long.duration_s is None
        found = list(long)
        assert long.duration_s == 18.0
    assert len(found) == 17


def test_a_streamed_flac_that_goes_on_too_long_is_refused_where_that_shows(speech: np.ndarray) -> None:
    came = []
    data = of_unknown_length(encoded(np.tile(speech, 3), "FLAC"))
    with pytest.raises(AudioLimitError, match="goes on after the 10 s"), open_windows(data, 2.0, 1.0, 10.0) as long:
        for window in long:
            came.append(window)
    assert len(came) == 9


HOURS = """
import resource, sys
from synatt.windows import open_windows

def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

count, early = 0, None
with open_windows(sys.argv[1], 6.0, 3.0) as long:
    for window in long:
        count += 1
        if count == 20: early = peak_mb()
print(count, peak_mb() - early)
"""


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_memory_is_flat_over_an_hour(tmp_path: Path, speech_wave: np.ndarray, rate_hz: int) -> None:
    minute = soxr.resample(np.tile(speech_wave, 10), 16_000, rate_hz)
    with sf.SoundFile(tmp_path / "hour.wav", "w", rate_hz, 1, "ULAW") as file:
        for _ in range(60):
            file.write(minute)
    ran = subprocess.run(
        [sys.executable, "-c", HOURS, str(tmp_path / "hour.wav")], capture_output=True, text=True, check=True
    )
    count, growth_mb = ran.stdout.split()
    assert int(count) == 1199
    # The samples of an hour are 230 MB.
    assert float(growth_mb) < 8


def test_damaged_recordings_come_to_the_same_in_windows_as_whole(tmp_path: Path, speech_wave: np.ndarray) -> None:
    for one in make_damage(tmp_path, speech_wave, 11):
        kinds = []
        # How long windows may go on is one more limit, that a claim of many years breaks.
        for get, limits in ((decode, {}), (windows_of, {"limit_s": 1e9})):
            try:
                get(one.path, **limits)
                kinds.append("ok")
            except AudioError as err:
                kinds.append(err.kind)
        assert kinds[0] == kinds[1], one
        assert one.expect in (None, kinds[1]), one
