"""The process group of Ray Train's workers, bound to the network that Ray itself uses."""

import os
from dataclasses import dataclass
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend


@dataclass
class GroupConfig(TorchConfig):
    """Ray Train's configuration, for workers that first choose their network interface."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_choose_interface)
        super().on_start(worker_group, backend_config)


def _choose_interface() -> None:
    """Have gloo use the interface with the address that this node has in the cluster.

    By itself it takes the one that the machine's own name stands for, which is 127.0.1.1 on Debian and Ubuntu: workers
    of other machines cannot get there.
    """
    import ray

    if name := interface_of(ray.util.get_node_ip_address()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def interface_of(address: str) -> str | None:
    """Name of this machine's network interface that has `address`; None when none has."""
    import psutil

    found = psutil.net_if_addrs().items()
    return next((name for name, has in found if any(a.address == address for a in has)), None)
