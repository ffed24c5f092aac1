"""Start a local Ray, or join the cluster that is already there."""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from synatt import logs, signals
from synatt.distributed import lines, timeline
from synatt.errors import UsageError

log = logging.getLogger("synatt")

# Seconds that the processes of a local Ray have to end after its shutdown.
GRACE_S = 5.0
# Seconds in which a cluster must accept a connection.
CONNECT_S = 5.0

# Ray sends the whole working folder to its workers when it sees `uv run`; a local Ray and a submitted job have it.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
# A thread that still waits for a stage when the session has ended would start another Ray with its next call.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
# A task without a GPU of its own keeps CUDA_VISIBLE_DEVICES as it is, which is what Ray itself announces to do.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Epoch lines differ only in their numbers; Ray would hide all but the first as repeated.
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
# Before each line of a worker, Ray sets its name in colour, for a file as for a person.
if not sys.stderr.isatty():
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")
# Ray Train takes a report in when it looks after its workers, every 2 s by default: short epochs would wait for that.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
# At Ray's own niceness of 15 a worker of a local Ray stands still whenever one of Ray's services wakes: on two cores
# training ran at 51 clips/s with it and at 58 without.
os.environ.setdefault("RAY_worker_niceness", "0")
# Ray ends a worker that was idle for a second where there are more of them than CPUs, which is so wherever two stages
# share the cores: while decoding waited for the models its workers were ended, and the next tasks began with two
# seconds of imports (`predict` of 100,000 clips on two cores took 270 s; with this, and one decode task a core instead
# of two, 224). The image of the clusters sets it too, since there it is read before any job comes.
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "300000")
# A task on a node that is cut off the network, its processes still running, is given up once its connection is silent:
# after seven minutes by default (5 + 2), though Ray has long marked the node dead. More often than once a minute a
# server of Ray's does not take the pings (its `grpc_server.cc`).
os.environ.setdefault("RAY_grpc_client_keepalive_time_ms", "75000")
os.environ.setdefault("RAY_grpc_client_keepalive_timeout_ms", "30000")


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """Connect for the length of a `with` block; a Ray that was already connected is left as it is.

    Args:
        address: of a running cluster; None: Ray's own rules (RAY_ADDRESS, the submitted job's cluster, a local Ray).

    Raises:
        UsageError: the cluster cannot be reached.
    """
    with lines.shown() as take_over, _connected(address, take_over), timeline.kept():
        yield


@contextmanager
def _connected(address: str | None, started: Callable[[], None]) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    address = _checked(address or os.environ.get("RAY_ADDRESS") or _remembered())
    local = address == "local"
    foreign = _children()
    try:
        _init(address)
        _quieten()
        started()
        have = ray.cluster_resources()
        log.info(
            "Ray %s: %s, %g CPUs, %g GPUs",
            ray.__version__,
            "local" if local else f"cluster with {len(ray.nodes())} nodes",
            have.get("CPU", 0),
            have.get("GPU", 0),
        )
        yield
    except BaseException:
        # Threads that still wait for a stage are cut short now; Ray Data would print a traceback for each after the one
        # line that says what went wrong.
        if "ray.data" in sys.modules:
            _quieten(logging.CRITICAL + 1)
        raise
    finally:
        # Also when it is interrupted while Ray starts: of what has been started by then nothing is left.
        own = _children() - foreign
        ray.shutdown()
        if local:
            _reap(own)


def _init(address: str) -> None:
    import ray

    try:
        # The dashboard belongs to a local Ray too: Ray Train asks its state service whether a run is alive.
        with signals.unchanged():
            ray.init(
                address=address,
                logging_level=logging.WARNING,
                configure_logging=logs.chosen() == logs.TEXT,
                log_to_driver=True,
                include_dashboard=True if address == "local" else None,
            )
    except (ConnectionError, ValueError, TimeoutError) as err:
        first = (str(err).splitlines() or [type(err).__name__])[0]
        raise UsageError(f"no Ray cluster at {address}: {first}") from None


def _remembered() -> str:
    """The cluster that `ray start` noted on this machine, by which Ray goes too; 'local' where there is none."""
    from ray._private.utils import read_ray_address

    noted = read_ray_address()
    if noted and not _answers(noted):
        log.warning("the Ray cluster at %s, noted on this machine, does not answer: starting a local one", noted)
        return "local"
    return noted or "local"


def _checked(address: str) -> str:
    # Ray itself would try for minutes, and say only then that nobody is there.
    if not _answers(address):
        raise UsageError(f"no Ray cluster at {address}: nothing answers there")
    return address


def _answers(address: str) -> bool:
    """Whether something listens at ``host:port`` or ``ray://host:port``; true for what is no such address."""
    found = re.fullmatch(r"(?:ray://)?([^/]+):(\d+)", address)
    if not found:
        return True
    try:
        with socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=CONNECT_S):
            return True
    except OSError:
        return False


@contextmanager
def state_of_own_cluster() -> Iterator[None]:
    """Within it Ray's state API asks the cluster that this process is connected to.

    By itself it goes by RAY_ADDRESS, whatever it is given, or by what runs on this machine, and refuses to choose where
    two clusters do.
    """
    import ray

    name, before = "RAY_API_SERVER_ADDRESS", os.environ.get("RAY_API_SERVER_ADDRESS")
    os.environ[name] = before or ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _quieten(data_level: int = logging.ERROR) -> None:
    """Ray's libraries tell of every stage they start; our own progress lines say what a person needs.

    Args:
        data_level: from which on Ray Data's lines are shown.
    """
    import ray.data  # noqa: F401 its logger is set up by the import

    for noisy in ("ray.train", "ray.tune"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        # Ray's own log files keep everything.
        if type(handler).__name__ == "PlainRayHandler":
            handler.setLevel(data_level)


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _reap(started: set[psutil.Process]) -> None:
    """End those processes of a local Ray that outlive its shutdown: now and then a worker hangs on its way out."""
    _, left = psutil.wait_procs(started, timeout=GRACE_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def run_there(work: Callable[..., Any], *args: Any, address: str | None = None) -> Any:
    """Call `work(*args)` here, or as a task on the cluster at `address`, where its paths may mean something else."""
    if address is None:
        return work(*args)
    import ray

    log_format = logs.chosen()

    def there() -> Any:
        lines.set_up_worker(log_format)
        return work(*args)

    with ray_session(address):
        try:
            return ray.get(ray.remote(num_cpus=0)(there).options(name=work.__name__).remote())
        except ray.exceptions.RayTaskError as err:
            raise err.cause from None


def cause_of(err: BaseException) -> BaseException:
    """The first error behind Ray's wrappers."""
    seen: set[int] = set()
    while id(err) not in seen:
        seen.add(id(err))
        inner = getattr(err, "cause", None) or err.__cause__
        if not isinstance(inner, BaseException):
            return err
        err = inner
    return err


def cause_line(err: BaseException) -> str:
    """'Type: message' of the first error behind Ray's wrappers, in one line.

    What a worker raised comes back as text in some of them; there its own last line is found by its form.
    """
    cause = cause_of(err)
    said = re.findall(r"^(?:[\w]+\.)*(\w*(?:Error|Exception|Interrupt)): (.*)$", str(err), re.MULTILINE)
    own = [(kind, text) for kind, text in said if kind not in ("UserCodeException", "RayTaskError")]
    if own and type(cause).__module__.startswith("ray"):
        kind, text = own[0]
        return f"{kind}: {text}"
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1]}" if lines else type(cause).__name__
