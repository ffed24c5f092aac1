"""How far one gets with no network at all: Mahalanobis distances of average residual fingerprints.

    python -m tests.benchmarks.fingerprints --input ROWS --clips DIR --leave-out 2:espeak_klatt,algorithm_1 \\
        --leave-out 0:natural,algorithm_2 [--runs ABLATION/runs]

After Pizarro et al. 2024 (arXiv 2411.14013): what is left of a clip when its low-passed version is taken away, its log
spectrum averaged over time and standardised, and the distance of that to the nearest class mean under one covariance.
The splits, the levels and the perturbed clips are those of `tests.benchmarks.ablation`; `--runs` adds what the score
brings beside the largest known probability of the networks in that folder. Fitted twice: on known training clips as
they are, and on these perturbed as networks are trained on them.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from synatt import manifest
from synatt.clip import crops
from synatt.constants import RATE_HZ
from synatt.fitting import training_rows, with_classes
from synatt.perturb import LEVELS
from synatt.recipe import Recipe
from synatt.recipefile import load_recipe
from synatt.unseen import logit_scores
from synatt.validation import judged_wave, known_clips
from tests.benchmarks.ablation import Split, left_out, make_store, ranked, readable, split
from tests.benchmarks.unlikeness import distances, fused

CUTOFF_HZ = 1000.0
N_FFT, HOP = 2048, 500
TAPS = 511
# Of the loudest bin of a clip: lower ones are no more than the rounding of samples.
RANGE_DB = 100.0


def fingerprint(wave_S: np.ndarray) -> np.ndarray:
    """float32 ``[S]`` at 16 kHz -> float32 ``[F]``: the bins above the cut-off, zero mean and unit deviation.

    Frames of padding move all bins alike, which the last step takes away again.
    """
    from scipy.signal import firwin, oaconvolve

    low = firwin(TAPS, CUTOFF_HZ, fs=RATE_HZ)
    residual = torch.from_numpy((wave_S - oaconvolve(wave_S, low, "same")).astype(np.float32))
    spectrum_FT = torch.stft(residual, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    db_FT = 20 * torch.log10(spectrum_FT.abs().clamp_min(1e-10))
    db_F = db_FT.clamp_min(float(db_FT.max()) - RANGE_DB).mean(dim=1)[round(CUTOFF_HZ * N_FFT / RATE_HZ) :]
    return ((db_F - db_F.mean()) / db_F.std()).numpy()


def fingerprints(waves: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack([fingerprint(wave) for wave in waves])


def compared(
    recipe: Recipe, parts: Split, clips: Path, runs: dict[str, np.ndarray]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of AUROC by bank, level and generator, and of the share of known clips that lie nearest to their class.

    Args:
        runs: name of a network -> its logits ``[N, C]`` of the judged clips, level by level.
    """
    recipe = recipe.model_copy(update={"classes": parts.train.classes})
    store = make_store(clips, parts.train, recipe)
    judged_store = make_store(clips, parts.judged, recipe.model_copy(update={"augment": type(recipe.augment)()}))
    tracks, examples = parts.judged.column("track"), readable(parts.train, store, recipe)

    def cut(waves: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return (crops(wave, recipe.clip_samples, recipe.clip.pad, 1)[0] for wave in waves)

    judged_NF = fingerprints(cut(judged_wave(judged_store, track, level) for level in LEVELS for track in tracks))
    levels, truth = np.repeat(LEVELS, len(tracks)), np.tile(parts.judged.column("label"), len(LEVELS))
    generator = np.tile([name or "" for name in parts.judged.column("generator")], len(LEVELS))
    label, is_known = examples.target.argmax(axis=1), truth != parts.unknown
    known = np.flatnonzero(label != parts.unknown)
    plain = fingerprints(cut(store.wave(examples.tracks[row]) for row in known))
    takes_label, takes = known_clips(examples, store, recipe)
    ranks, right = [], []
    for bank, bank_TF, bank_label in (("clean", plain, label[known]), ("perturbed", fingerprints(takes), takes_label)):
        away_NC, classes = distances(judged_NF, bank_TF, bank_label)
        nearest, away = classes[away_NC.argmin(axis=1)], away_NC.min(axis=1)
        score = {"alone": away}
        for name, logits in runs.items():
            score[f"with {name}"] = fused(logit_scores(logits, parts.unknown)["max_softmax"], np.log(away))
        ranks += [{"bank": bank, **row} for row in ranked(score, levels, generator, is_known)]
        for level in LEVELS:
            at = is_known & (levels == level)
            right.append({"bank": bank, "level": level, "known right": (nearest == truth)[at].mean()})
    return ranks, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--recipe", default="robust")
    parser.add_argument("--clips", required=True, type=Path, help="folder of decoded clips, of an ablation or new")
    parser.add_argument("--leave-out", required=True, action="append", type=left_out)
    parser.add_argument("--runs", type=Path, help="folder of an ablation's answers on the same splits")
    parser.add_argument("--arm", default="chosen", help="whose answers")
    args = parser.parse_args()
    rows = manifest.read(args.input)
    recipe = load_recipe(args.recipe, ["train.workers=1"])
    base = training_rows(rows, with_classes(recipe, rows))
    ranks: list[dict[str, Any]] = []
    right: list[dict[str, Any]] = []
    for fold, gone in args.leave_out:
        files = sorted(args.runs.glob(f"{args.arm}-*-{fold}-{'+'.join(gone)}.npz")) if args.runs else []
        runs = {file.stem: np.load(file)["logits"].mean(axis=1) for file in files}
        found = compared(recipe, split(base, gone, fold), args.clips, runs)
        ranks += found[0]
        right += [{"left out": "+".join(gone), **row} for row in found[1]]
    print(pd.DataFrame(ranks).to_string(index=False))
    print(pd.DataFrame(right).to_string(index=False))


if __name__ == "__main__":
    main()
