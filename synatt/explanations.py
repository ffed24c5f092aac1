"""Why the ensemble gave its answers: of chosen clips, what it was shown and where in it the evidence lies.

A clip is prepared as for prediction, scored again and compared with its row, so that what is shown is what was scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from synatt.audio import AudioError, load_audio
from synatt.clip import crops
from synatt.ensemble import Ensemble, EnsemblePlan, View
from synatt.examples import Example
from synatt.explain import heat_map
from synatt.model import TrainedModel
from synatt.scored import Rows
from synatt.staging import stage

# Between a GPU and a CPU, or with half precision, probabilities differ in the third digit.
SAME_P = 0.02


@dataclass(frozen=True)
class Explained:
    """One clip.

    Attributes:
        row: its place in the `Rows`.
        kinds: why it was chosen.
        why_not: why nothing can be shown; then the arrays are empty.
        wave: float32 ``[S]``, the standardised clip at 16 kHz that the log-mel was made of.
        logmel: float32 ``[M, T]`` in dB.
        heat: class index -> float32 ``[M, T]`` in [0, 1], the mean of the members' maps; of the answer and the truth.
    """

    row: int
    kinds: tuple[str, ...]
    why_not: str | None = None
    wave: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    logmel: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    heat: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanations:
    """Explained clips, in the order they were chosen in.

    Attributes:
        rows: of the evaluation.
        view: what the clips were prepared for: clip, crops, log-mel; None where nothing is shown.
        members: how many models the maps are of; of `n_models` in all.
        why_not: why none is shown.
    """

    rows: Rows
    clips: tuple[Explained, ...] = ()
    view: View | None = None
    members: int = 0
    n_models: int = 0
    why_not: str | None = None


def explain_rows(rows: Rows, classes: Sequence[str], plan: EnsemblePlan, examples: Sequence[Example]) -> Explanations:
    """Heat maps of the chosen rows, by the ensemble that answered them.

    Args:
        rows: of the evaluation; `classes` are its classes.
        plan: of the ensemble; one that did not make these predictions explains nothing, and `why_not` says so.
        examples: the rows to explain.
    """
    why_not = _why_not(rows, classes, plan)
    if why_not:
        return Explanations(rows, why_not=why_not)
    pictures = {v.key for v in plan.views if v.recipe.logmel.kind == "log_mel"}
    if not pictures:
        return Explanations(rows, why_not="heat maps are drawn on log-mels, and these models take the waveform itself")
    ensemble = Ensemble(plan)
    # Members that look at other log-mels see another crop: only maps of one and the same picture have a mean.
    key = max((k for k in dict.fromkeys(plan.view_of) if k in pictures), key=plan.view_of.count)
    view = next(v for v in plan.views if v.key == key)
    kinds: dict[int, list[str]] = {}
    for example in examples:
        kinds.setdefault(example.row, []).append(example.kind)
    clips = tuple(_explained(rows, row, tuple(why), ensemble, view) for row, why in kinds.items())
    return Explanations(rows, clips, view, plan.view_of.count(key), len(plan.folders))


def _why_not(rows: Rows, classes: Sequence[str], plan: EnsemblePlan) -> str | None:
    if tuple(classes) != plan.classes:
        return f"the models' classes are {', '.join(plan.classes)}, those of the predictions {', '.join(classes)}"
    if not any(_made_by(run, plan) for run in rows.run):
        runs = sorted({str(run) for run in rows.run})[:3]
        return (
            f"the models given (ensemble {plan.run}) did not make these predictions (run {', '.join(runs) or 'none'})"
        )
    return None


def _made_by(run: str | None, plan: EnsemblePlan) -> bool:
    """Whether a row's run is of this ensemble; a table that names no run is judged by its probabilities alone."""
    return run is None or run.partition("-")[0] == plan.run


def _explained(rows: Rows, row: int, kinds: tuple[str, ...], ensemble: Ensemble, view: View) -> Explained:
    if not rows.answered[row]:
        return Explained(row, kinds, f"there is no answer to explain: {rows.error[row]}")
    if not _made_by(rows.run[row], ensemble.plan):
        return Explained(row, kinds, f"other models answered it (run {rows.run[row]})")
    path = rows.path[row]
    try:
        wave = load_audio(path or "", ensemble.plan.read_s).wave
    except AudioError as err:
        return Explained(row, kinds, f"{path} cannot be read: {err.kind}: {err}")
    units = stage([rows.track[row]], [wave], ensemble.plan)
    scores = ensemble.score(units.logmels, units.tracks)
    found, told = scores.mean_BC[0], rows.p[row]
    if np.abs(found - told).max() > SAME_P:
        now, then = found[rows.answer[row]], told[rows.answer[row]]
        said = f"scored again it gets {now:.3f} where the table has {then:.3f}"
        return Explained(row, kinds, f"{said}: the recording has changed, or was scored in windows")
    told_by = [
        model
        for model, key, answers in zip(ensemble.models, ensemble.plan.view_of, scores.answers_NB[:, 0], strict=True)
        if answers and key == view.key
    ]
    if not told_by:
        return Explained(row, kinds, "the models that look at these log-mels were taught it, and others answered")
    recipe = view.recipe
    wave_KS = crops(wave, recipe.clip_samples, recipe.clip.pad, recipe.predict.crops)
    logmel_MT = units.logmels[view.key][0, 0]
    wanted = [int(c) for c in dict.fromkeys((rows.answer[row], rows.truth[row])) if c >= 0]
    return Explained(row, kinds, None, wave_KS[0], logmel_MT, _heat(told_by, ensemble.device, logmel_MT, wanted))


def _heat(
    models: list[TrainedModel], device: torch.device, logmel_MT: np.ndarray, wanted: list[int]
) -> dict[int, np.ndarray]:
    """Class -> float32 ``[M, T]``: the mean, over the models that answered for it, of maps of which each ends at 1."""
    x_BMT = torch.from_numpy(logmel_MT.copy()).expand(len(wanted), -1, -1).contiguous().to(device)
    class_B = torch.tensor(wanted, device=device)
    maps_BMT = torch.stack([heat_map(m.net, x_BMT, class_B) for m in models]).mean(dim=0).cpu().numpy()
    return dict(zip(wanted, maps_BMT, strict=True))
