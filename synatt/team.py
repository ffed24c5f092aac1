"""The workers that train one network together: who this one is, and what they say to each other. Plain torch, no Ray.

A team of one needs no process group; a larger one uses the default group of `torch.distributed` (NCCL on GPUs, else
gloo), which whoever starts the workers has set up.
"""

from dataclasses import replace
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel as DDP

from synatt.feed import Place
from synatt.step import EpochStats

Part = TypeVar("Part")
# A GPU has to be waited for to read its clock: every 20th step is measured there, and counted 20 times.
GPU_SAMPLE = 20
# torch renames this option.
SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in signature(DDP).parameters else "broadcast_buffers"


class Team:
    """A team of one, and what every team can do."""

    def __init__(self, place: Place = Place()) -> None:  # noqa: B008 frozen
        self.place = place

    def wrap(self, net: nn.Module) -> nn.Module:
        """`net` as it is trained: its gradients come out as the mean over the team."""
        return net

    def summed(self, stats: EpochStats) -> EpochStats:
        """Loss and clips of the whole team; times stay this worker's own."""
        return stats

    def gathered(self, part: Part) -> list[Part]:
        """What every worker gave here, by rank."""
        return [part]

    def agree_on_buffers(self, net: nn.Module) -> None:
        """Bring the workers' running batch statistics to their mean, as TensorFlow's mirrored strategy reads them."""


class DdpTeam(Team):
    """Workers of one process group, each with its own copy of the network."""

    def __init__(self, place: Place, device: torch.device) -> None:
        super().__init__(place)
        self._device = device

    def wrap(self, net: nn.Module) -> nn.Module:
        ids = [self._device] if self._device.type == "cuda" else None
        # Batch statistics are each worker's own, as in the original; `agree_on_buffers` brings them together.
        apart: Any = {SYNC_BUFFERS: False}
        ddp = DDP(net, device_ids=ids, gradient_as_bucket_view=True, **apart)
        ddp._set_ddp_runtime_logging_sample_rate(GPU_SAMPLE if ids else 1)
        return ddp

    def summed(self, stats: EpochStats) -> EpochStats:
        numbers = torch.tensor([stats.loss, stats.clips], dtype=torch.float64).to(self._device)
        dist.all_reduce(numbers)
        # Losses are shares of the global mean, so they add up.
        return replace(stats, loss=float(numbers[0]), clips=int(numbers[1]))

    def gathered(self, part: Part) -> list[Part]:
        found: list[Part | None] = [None] * self.place.world
        dist.all_gather_object(found, part)
        return [part for part in found if part is not None]

    def agree_on_buffers(self, net: nn.Module) -> None:
        for buffer in net.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer.div_(self.place.world)


class SyncClock:
    """Seconds that a worker's backward passes waited for the gradients of the others.

    Most of the exchange is hidden behind the computing of further gradients; what is not is lost time. Both are
    measured by DDP itself.
    """

    def __init__(self, net: nn.Module) -> None:
        self.seconds = 0.0
        self._net = net if isinstance(net, DDP) else None
        self._every = GPU_SAMPLE if self._net is not None and self._net.device_ids else 1
        self._last = 0

    def step(self) -> None:
        """Take in what DDP has measured of the steps so far."""
        if self._net is None:
            return
        seen = self._net._get_ddp_logging_data()
        # DDP tells of a step once the next one is on its way, and of the same one until a newer is measured.
        if (began := seen.get("backward_comm_time_start", 0)) == self._last:
            return
        self._last = began
        hidden = seen.get("backward_compute_comm_overlap_time", 0)
        self.seconds += self._every * max(0, seen.get("backward_comm_time", 0) - hidden) / 1e9
