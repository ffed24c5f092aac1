"""Adding a class to trained models from a few clips: new rows of the last layer, on embeddings that stay as they are.

Neither the backbone nor the rows of the old classes change, so an old class can lose clips to a new one and nothing
else. What comes out are model folders like any other.
"""

from dataclasses import dataclass

import numpy as np
import torch

from synatt.backbones import Attributor
from synatt.constants import UNKNOWN

# Clips of the new class that its accuracy is told for.
COUNTS = (5, 10, 20, 50)
DRAWS = 10
WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Bank:
    """Embeddings of some clips in one model.

    Attributes:
        vectors: float32 ``[N, E]``.
        label: int64 ``[N]``.
        clip: int64 ``[N]``, which recording a row is of: perturbed copies of one share it.
    """

    vectors: np.ndarray
    label: np.ndarray
    clip: np.ndarray

    def where(self, mask: np.ndarray) -> "Bank":
        return Bank(self.vectors[mask], self.label[mask], self.clip[mask])


def new_classes(classes: tuple[str, ...], added: tuple[str, ...]) -> tuple[str, ...]:
    """`classes` with the `added` ones at their end, before 'unknown'."""
    if classes[-1] == UNKNOWN:
        return (*classes[:-1], *added, UNKNOWN)
    return (*classes, *added)


def fit_rows(old: Bank, new: Bank, weight_CE: np.ndarray, bias_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[A, E]`` and biases ``[A]`` of A new classes beside a last layer whose rows stay.

    Softmax regression on all rows, every class counting evenly, with the new rows pulled towards zero; its only
    optimum is found by L-BFGS.

    Args:
        old: labels index the old classes.
        new: labels 0 to A - 1.
    """
    added, classes = int(new.label.max()) + 1, len(bias_C)
    vectors = torch.from_numpy(np.concatenate([old.vectors, new.vectors]).astype(np.float64))
    label = torch.from_numpy(np.concatenate([old.label, new.label + classes]))
    share = 1.0 / torch.bincount(label, minlength=classes + added).double().clamp_min(1)[label]
    share /= share.sum()
    kept = vectors @ torch.from_numpy(weight_CE.T.astype(np.float64)) + torch.from_numpy(bias_C.astype(np.float64))
    weight = torch.zeros(added, vectors.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(added, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = torch.cat([kept, vectors @ weight.T + bias], dim=1)
        value = (torch.nn.functional.cross_entropy(logits, label, reduction="none") * share).sum()
        value = value + WEIGHT_DECAY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach().float().numpy(), bias.detach().float().numpy()


def widen(net: Attributor, weight_AE: np.ndarray, bias_A: np.ndarray, unknown_last: bool) -> None:
    """Put new rows into the last layer of `net`: at its end, or before its last row."""
    at = net.classify.out_features - int(unknown_last)
    with torch.no_grad():
        old_w, old_b = net.classify.weight, net.classify.bias
        weight = torch.cat([old_w[:at], torch.from_numpy(weight_AE), old_w[at:]])
        bias = torch.cat([old_b[:at], torch.from_numpy(bias_A), old_b[at:]])
    net.classify = torch.nn.Linear(weight.shape[1], weight.shape[0])
    net.classify.load_state_dict({"weight": weight, "bias": bias})


def accuracy_by_count(
    old: Bank, new: Bank, weight_CE: np.ndarray, bias_C: np.ndarray, seed: int
) -> list[dict[str, float]]:
    """For each new class and number of its clips: how many of its other clips are found, what old classes lose.

    Clips are drawn `DRAWS` times; of the old rows every other clip is fitted on, the rest are judged. `recall` is of
    the new class, `old_before` and `old_after` are the accuracy on old clips by the largest logit. A count is left out
    where fewer than five other clips are left to judge.
    """
    rng = np.random.default_rng([seed, *b"enrol"])
    out = []
    logits = old.vectors @ weight_CE.T + bias_C
    for added in range(int(new.label.max()) + 1):
        mine = new.where(new.label == added)
        mine = Bank(mine.vectors, np.zeros_like(mine.label), mine.clip)
        clips = np.unique(mine.clip)
        for count in (n for n in COUNTS if len(clips) - n >= 5):
            for draw in range(DRAWS):
                chosen = np.isin(mine.clip, rng.permutation(clips)[:count])
                half = np.isin(old.clip, rng.permutation(np.unique(old.clip))[::2])
                weight, bias = fit_rows(old.where(half), mine.where(chosen), weight_CE, bias_C)
                others = mine.vectors[~chosen]
                found = (others @ weight[0] + bias[0]) > (others @ weight_CE.T + bias_C).max(axis=1)
                lost = (old.vectors @ weight[0] + bias[0]) > logits.max(axis=1)
                right = logits.argmax(axis=1) == old.label
                out.append(
                    {
                        "new_class": added,
                        "clips": count,
                        "draw": draw,
                        "recall": float(found.mean()),
                        "old_before": float(right[~half].mean()),
                        "old_after": float((right & ~lost)[~half].mean()),
                    }
                )
    return out
