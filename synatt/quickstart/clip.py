"""From one utterance to the files of its clips: say it, copy it, finish it, perturb it, write it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from synatt import storage
from synatt.errors import SynattError, WorkError
from synatt.flac import flac
from synatt.perturb import SPCUP_KINDS, Perturbation, apply, choose
from synatt.quickstart.finish import finish, to_16k
from synatt.quickstart.plan import Clip
from synatt.quickstart.roster import by_name


def render_clips(speech: str, clips: list[Clip]) -> int:
    """Say the one utterance that `clips` share, write each clip into the folder `speech`; how many were written.

    Raises:
        WorkError: a synthesizer or a copy failed; names it and the sentence.
    """
    utterance = clips[0].utterance
    doing = utterance.generator
    try:
        with _one_thread():
            said = to_16k(by_name(doing).load()(utterance.text, utterance.voice, np.random.default_rng(utterance.key)))
            for clip in clips:
                doing = clip.generator
                storage.write_bytes(storage.join(speech, f"{clip.track}.flac"), flac(make(clip, said)))
    except SynattError:
        raise
    except Exception as err:
        what = f"{doing} failed on {utterance.text!r} (voice {utterance.voice})"
        raise WorkError(f"{what}: {type(err).__name__}: {err}") from err
    return len(clips)


def make(clip: Clip, said: np.ndarray) -> np.ndarray:
    """float32 `[S]` at 16 kHz: `clip` from its utterance `said`."""
    algorithm = by_name(clip.generator)
    wave = algorithm.load()(said, _rng(clip, "copy")) if algorithm.is_copy else said
    return apply(finish(wave, _rng(clip, "finish")), perturbation(clip), _rng(clip, "apply"))


def perturbation(clip: Clip) -> Perturbation:
    """What is done to `clip` last; known without rendering it."""
    return choose(clip.utterance.level, _rng(clip, "choose"), SPCUP_KINDS)


def _rng(clip: Clip, step: str) -> np.random.Generator:
    # A generator for each step: one step drawing more or less leaves the others alone.
    return np.random.default_rng([*clip.key, *step.encode()])


@contextmanager
def _one_thread() -> Iterator[None]:
    # Sums of several threads may round differently from run to run.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
