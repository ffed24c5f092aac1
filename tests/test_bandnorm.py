"""What stays in a band for the whole of a clip is taken out; what moves in it stays."""

import numpy as np
import pytest
import torch

from synatt.bandnorm import BIAS, GAIN, POWER, SECONDS, TINY, less_mean, pcen
from synatt.logmel import log_mel, logmel_batch
from synatt.recipe import LogMel
from synatt.recipefile import load_recipe

HOP_S = 250 / 16_000


@pytest.fixture(scope="module")
def spoken(speech_wave: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(log_mel(speech_wave, load_recipe("part1")))[None]


def test_a_colouring_of_the_whole_clip_leaves_no_trace(spoken: torch.Tensor) -> None:
    # Within what is heard: the floor is the clip's own.
    heard = spoken[:, :, (spoken > spoken.amin()).any(dim=1)[0]]
    tilt = torch.linspace(-9, 9, heard.shape[1])[None, :, None]
    torch.testing.assert_close(less_mean(heard + tilt), less_mean(heard), atol=1e-3, rtol=0)
    assert float(less_mean(heard).mean(dim=2).abs().max()) < 1e-3


def test_padding_is_no_part_of_the_mean_and_comes_out_lowest(spoken: torch.Tensor) -> None:
    heard = spoken[:, :, (spoken > spoken.amin()).any(dim=1)[0]]
    padded = torch.nn.functional.pad(heard, (0, 40), value=float(heard.amin()))
    found, alone = less_mean(padded), less_mean(heard)
    torch.testing.assert_close(found[..., :-40], alone, atol=1e-3, rtol=0)
    assert float(found[..., -40:].max()) == pytest.approx(float(alone.min()), abs=1e-3)


def test_a_clip_of_silence_is_zero_and_does_not_touch_its_neighbour(spoken: torch.Tensor) -> None:
    both = torch.cat([torch.full_like(spoken, -120.0), spoken])
    found = less_mean(both)
    assert float(found[0].abs().max()) == 0
    torch.testing.assert_close(found[1:], less_mean(spoken))


def test_pcen_is_the_papers_recursion(spoken: torch.Tensor) -> None:
    energy = 10.0 ** (spoken[0].double().numpy() / 20)
    frames = SECONDS / HOP_S
    share = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    smooth, wanted = energy[:, 0], []
    for column in energy.T:
        smooth = (1 - share) * smooth + share * column
        wanted.append((column / (TINY + smooth) ** GAIN + BIAS) ** POWER - BIAS**POWER)
    np.testing.assert_allclose(pcen(spoken, HOP_S)[0].numpy(), np.stack(wanted, axis=1), rtol=1e-3, atol=1e-4)


def test_pcen_hardly_knows_how_loud_a_band_is(spoken: torch.Tensor) -> None:
    # A gain of 20 dB is 0.4 dB after a gain control of 0.98.
    change = (pcen(spoken + 20.0, HOP_S) - pcen(spoken, HOP_S)).abs().mean()
    assert float(change) < 0.05 * float(pcen(spoken, HOP_S).mean())


@pytest.mark.parametrize("normalise", ["mean", "pcen"])
def test_a_recipe_asks_for_it_and_clips_stay_apart_in_a_batch(speech_wave: np.ndarray, normalise: str) -> None:
    plain = load_recipe("part1")
    recipe = load_recipe("part1", [f"logmel.normalise={normalise}"])
    wave = torch.from_numpy(speech_wave[: plain.clip_samples].copy())
    batch = torch.stack([wave, wave.flip(0), torch.zeros_like(wave)])
    together = logmel_batch(batch, recipe.logmel)
    assert together.shape == (3, 128, 384) and together.dtype == torch.float32
    assert bool(torch.isfinite(together).all())
    for row in range(3):
        torch.testing.assert_close(logmel_batch(batch[row : row + 1], recipe.logmel)[0], together[row])
    assert not torch.allclose(together, logmel_batch(batch, LogMel()), atol=1.0)
