"""Real workers of one process group (gloo), without Ray: what the tests of a team start."""

import pickle
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from synatt import backbones
from synatt.clipstore import ClipStore
from synatt.feed import Examples, Place, epoch_order, step_rows
from synatt.precision import Precision
from synatt.recipe import Recipe, Train
from synatt.step import micro_step
from synatt.team import DdpTeam, SyncClock, Team
from synatt.training import Run, make_plan

CPU = torch.device("cpu")


def together(world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """`work(team, *args)` in `world` processes; what each returned, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["tests.teams"])
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(_worker, (world, port, folder, work, args), nprocs=world, start_method="forkserver")
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(world)]


def _worker(rank: int, world: int, port: int, folder: str, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, world, rank == 0)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    place = Place(rank, world)
    result = work(DdpTeam(place, CPU) if world > 1 else Team(place), *args)
    (Path(folder) / str(rank)).write_bytes(pickle.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def gradient(team: Team, recipe: Recipe, batch: int, dtype: str) -> tuple[np.ndarray, float]:
    """(gradient of one step over 11 random log-mels with mixed labels, seconds that DDP waited in a second step)."""
    torch.manual_seed(0)
    net = backbones.create(recipe.backbones[0], recipe).to(getattr(torch, dtype))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(11, 32, 32, generator=generator, dtype=torch.float64).to(getattr(torch, dtype))
    target = torch.softmax(torch.randn(11, 6, generator=generator, dtype=torch.float64), dim=1).to(x.dtype)
    wrapped = team.wrap(net)
    clock = SyncClock(wrapped)
    for _ in range(2):
        wrapped.zero_grad(set_to_none=True)
        for _, _, last, rows, count in step_rows(epoch_order(11, 0, 0), batch, 11, team.place):
            weight = torch.full((max(1, len(rows)),), 1 / count if len(rows) else 0.0, dtype=x.dtype)
            rows = rows if len(rows) else np.array([0])
            micro_step(
                wrapped, x[rows], target[rows], weight, Train(), team.place.world, Precision(CPU, None), last=last
            )
        clock.step()
    return torch.cat([p.grad.flatten() for p in net.parameters()]).numpy(), clock.seconds


def trained(
    team: Team, recipe: Recipe, store: tuple[str, list[str]], rows: Examples, epochs: int, valid: Examples | None
) -> dict[str, Any]:
    """A whole run of a team; what it ends with."""
    # The plan of two workers, whatever the team's size: the global batch stays.
    plan = make_plan(recipe, recipe.backbones[0], 0, epochs, 2)
    run = Run(plan, rows, valid, ClipStore(*store), CPU, team)
    for _ in run.epochs():
        pass
    return {
        "weights": {name: tensor.numpy().copy() for name, tensor in run.bare.state_dict().items()},
        "curve": run.progress.curve,
        "confusion": run.progress.confusion,
    }


# Found by the processes that a test starts, wherever pytest was called.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
