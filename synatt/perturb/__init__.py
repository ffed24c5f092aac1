"""What happens to a recording on its way to us: edits, rooms, noise, gain, band limits, codecs, lost packets.

One definition serves training (`augment.perturb_*`), the test sets of `jobs.perturb` and of the quickstart. Each kind
is a module with its ranges per level, a `draw` of parameters and a function that applies them; `suite` puts them
together. Waves are float32 ``[S]`` at 16 kHz and keep their length; all draws come from the generator that is given.
"""

from synatt.perturb.materials import Materials, read_materials
from synatt.perturb.suite import (
    KINDS,
    LEVELS,
    SPCUP_KINDS,
    Perturbation,
    apply,
    check_kinds,
    check_levels,
    choose,
    perturb,
)

__all__ = [
    "KINDS",
    "LEVELS",
    "SPCUP_KINDS",
    "Materials",
    "Perturbation",
    "apply",
    "check_kinds",
    "check_levels",
    "choose",
    "perturb",
    "read_materials",
]
