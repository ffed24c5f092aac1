"""Which network interface the workers' process group is bound to."""

import psutil

from synatt.distributed.processgroup import interface_of


def test_an_interface_is_found_by_its_address() -> None:
    for name, has in psutil.net_if_addrs().items():
        for entry in has:
            assert interface_of(entry.address) is not None
    assert interface_of("127.0.0.1") == next(
        name for name, has in psutil.net_if_addrs().items() if "127.0.0.1" in [a.address for a in has]
    )


def test_an_address_of_another_machine_has_none() -> None:
    assert interface_of("203.0.113.7") is None
