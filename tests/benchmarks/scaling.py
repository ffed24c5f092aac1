"""What training costs on 8 GPUs, on paper: bytes read, gradients exchanged, GPU hours for every row of the recipes.

    python -m tests.benchmarks.scaling [--tflops 20] [--bus-gb-s 200]

Counted: parameters, floating-point operations of a forward pass (torch's own counter, on the meta device), clips,
steps. Assumed, and to be replaced by your own figures: what a GPU sustains in this kind of network, the bandwidth
between the GPUs of a node, and the number of clips of each stage. A backward pass costs twice the forward pass.
"""

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from synatt import backbones, load_recipe
from synatt.recipe import Backbone, Recipe, Weights
from synatt.recipefile import build_recipe

GPUS = 8
# 5,000 + 1,000 SP Cup tracks; 48 % of LJSpeech's 13,100; 13.9 % of VCTK's 44,242 and, in part 1 only, 13.6 % of
# LibriSpeech's 28,539 (train-clean-100); the size of the set of other TTS is not published. The second stage adds the
# 9,000 tracks of both evaluation parts each.
CLIPS = {"part1": (22_300, 40_300), "part2": (18_400, 36_400)}


def forward_gflop(recipe: Recipe, backbone: Backbone) -> tuple[float, int]:
    """(10^9 operations of one clip's forward pass, parameters); nothing is computed or allocated."""
    with torch.device("meta"):
        net = backbones.create(backbone, recipe, Weights(source="random")).eval()
        clip = torch.empty(1, recipe.logmel.mel_bins, recipe.logmel.frames)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(clip)
    return counter.get_total_flops() / 1e9, sum(p.numel() for p in net.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, default=20.0, help="sustained 10^12 operations a second of a GPU")
    parser.add_argument("--bus-gb-s", type=float, default=200.0, help="bandwidth of the all-reduce in 10^9 bytes/s")
    args = parser.parse_args()
    head = f"{'part':5} {'backbone':22} {'M par':>6} {'GFLOP':>6} {'grad MB':>8} {'sync':>6}"
    print(f"{head} {'steps/epoch':>12} {'GPU h stage 1':>14} {'GPU h stage 2':>14}")
    total = 0.0
    for name, clips in CLIPS.items():
        recipe = load_recipe(name)
        recipe = build_recipe({**recipe.model_dump(mode="json"), "classes": ["a", "b", "c", "d", "e", "unknown"]})
        for backbone in recipe.backbones:
            gflop, parameters = forward_gflop(recipe, backbone)
            hours, steps = [], []
            for stage in (0, 1):
                seconds_a_clip = 3 * gflop / 1e3 / args.tflops
                hours.append(clips[stage] * backbone.epochs[stage] * seconds_a_clip / 3600)
                steps.append(-(-clips[stage] // (backbone.batch[stage] * GPUS)))
            compute_s = backbone.batch[0] * 3 * gflop / 1e3 / args.tflops
            # A ring sends each gradient 2 (n - 1) / n times; most of it hides behind the backward pass.
            sync_s = 2 * (GPUS - 1) / GPUS * parameters * 4 / (args.bus_gb_s * 1e9)
            total += sum(hours)
            print(
                f"{name:5} {backbone.name:22} {parameters / 1e6:6.1f} {gflop:6.1f} {parameters * 4 / 1e6:8.0f} "
                f"{sync_s / (sync_s + compute_s):6.1%} {f'{steps[0]} / {steps[1]}':>12} {hours[0]:14.2f} "
                f"{hours[1]:14.2f}"
            )
    seconds = {"part1": 6, "part2": 8}
    for name, clips in CLIPS.items():
        read = max(clips) * seconds[name] * 32_000 / 1e9
        print(
            f"{name}: decoded once into {read:.1f} GB of int16 samples (clips of {seconds[name]} s; longer ones more)"
        )
    print(f"all rows, both stages: {total:.0f} GPU hours, {total / GPUS:.1f} h of an 8-GPU node")


if __name__ == "__main__":
    main()
