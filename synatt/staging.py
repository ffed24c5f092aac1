"""Recordings -> log-mels of every view, one decode each, and what became of each recording."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synatt.audio import Audio, AudioError, from_array, load_audio
from synatt.ensemble import EnsemblePlan, logmel_crops
from synatt.predictions import Outcome
from synatt.recipe import Recipe


def stage(
    tracks: Sequence[str], sources: "Sequence[str | np.ndarray]", plan: EnsemblePlan
) -> tuple[list[Outcome], dict[str, np.ndarray]]:
    """Decode recordings and compute their log-mels.

    Args:
        sources: paths, URIs or float arrays ``[S]`` at 16 kHz, one per track.

    Returns:
        one outcome per track, and for each view key float32 ``[B, K, M, T]``; rows of failed recordings are zero.
    """
    outcomes = []
    staged = {view.key: np.zeros((len(tracks), *_shape(view.recipe)), np.float32) for view in plan.views}
    for row, (track, source) in enumerate(zip(tracks, sources, strict=True)):
        outcome = Outcome(track, source if isinstance(source, str) else "")
        try:
            audio = _decode(source, plan.read_s)
            outcome = replace(outcome, duration_s=audio.duration_s, sample_rate_hz=audio.sample_rate_hz)
            for view in plan.views:
                staged[view.key][row] = logmel_crops(audio, view)
        except AudioError as err:
            outcome = replace(outcome, error=f"{err.kind}: {err}")
        except Exception as err:
            # Whatever a hostile file provokes costs its own row only; the type says where to look.
            outcome = replace(outcome, error=f"unexpected: {type(err).__name__}: {' '.join(str(err).split())[:300]}")
        outcomes.append(outcome)
    return outcomes, staged


def _shape(recipe: Recipe) -> tuple[int, int, int]:
    return recipe.predict.crops, recipe.logmel.mel_bins, recipe.logmel.frames


def row_bytes(plan: EnsemblePlan) -> int:
    """Bytes of staged log-mels per recording."""
    return sum(int(np.prod(_shape(view.recipe))) * 4 for view in plan.views)


def _decode(source: "str | np.ndarray", read_s: float) -> Audio:
    return load_audio(source, read_s) if isinstance(source, str) else from_array(source)
