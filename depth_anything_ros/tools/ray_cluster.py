"""Work spread over the machines of a Ray cluster, by Ray Data, of the extra ``ray``."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from depth_anything_ros.core.errors import DepthAnythingError, first_line
from depth_anything_ros.core.programs import how_to_install

LOCAL = "local"
# Of one item's worker, where there is no GPU: more threads than that run few networks faster.
_CPUS = 4
_CONNECT_S = 10.0
# Blocks that Ray Data keeps an account of; of more items, some go together.
_MOST_BLOCKS = 2000

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Worker(Generic[Item, Result]):
    """What a process of the cluster keeps (a loaded model) and does with each item.

    What it raises for a user to mend goes home as a result: Ray would try again without an end, and
    make pages of it.
    """

    def __init__(self, make_worker: Callable[[], Callable[[Item], Result]]) -> None:
        self._work: Callable[[Item], Result] | None = None
        self._problem: Exception | None = None
        try:
            self._work = make_worker()
        except (DepthAnythingError, OSError) as error:
            self._problem = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer items; both are pickled, as Arrow would make arrays of tuples."""
        return {"result": [pickle.dumps(self._result(one)) for one in batch["item"]]}

    def _result(self, item: bytes) -> Result | Exception:
        if self._work is None:
            assert self._problem is not None
            return self._problem
        try:
            return self._work(pickle.loads(item))
        except (DepthAnythingError, OSError) as error:
            return error


def spread(
    items: Sequence[Item],
    make_worker: Callable[[], Callable[[Item], Result]],
    address: str,
    workers: int = 0,
) -> Generator[Result, None, None]:
    """Do the same with many items in the processes of a Ray cluster; yield results as they come.

    A worker or a machine that is lost costs nothing but time: what it had begun is done again by
    another, and each result comes once. So an item's work must be such that it can be done again.
    No more is begun than results are taken. Close the generator where you leave it early
    (``contextlib.closing``): that ends a local cluster.

    Args:
        items: that any process can have: of plain values.
        make_worker: makes, once in each process, what takes an item.
        address: ``local``, a cluster on this machine that ends with this; or of one that runs:
            ``auto``, HOST:PORT or ray://HOST:PORT.
        workers: processes; 0 is one a GPU, or where there is none, one for four cores.

    Raises:
        DepthAnythingError: where Ray is not installed, or no cluster is there; what a worker
            raises, in the words of that.
    """
    ray = _library()
    with _connected(ray, address, workers):
        count, resources = _share(ray.cluster_resources(), workers)
        rows = [{"item": pickle.dumps(item)} for item in items]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        done = data.map_batches(
            _Worker,
            fn_constructor_args=(make_worker,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            **resources,
        )
        try:
            for row in done.iter_rows():
                result = pickle.loads(row["result"])
                if isinstance(result, Exception):
                    raise result
                yield result
        except ray.exceptions.RayTaskError:  # a bug, whose traceback is in it
            raise
        except ray.exceptions.RayError as error:
            raise DepthAnythingError(f"the cluster gave up: {first_line(error)}") from error


def _library() -> Any:  # noqa: ANN401 - a module without types
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of its own processes
    # Workers without a share of a GPU see what there is: so it will be, and Ray warns until then.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DepthAnythingError(f"--ray needs Ray; run: {how_to_install('ray')}") from error
    return ray


@contextmanager
def _connected(ray: Any, address: str, workers: int) -> Iterator[None]:  # noqa: ANN401
    """Hold a connection; a local cluster lives as long."""
    _check_reachable(address)
    own: dict[str, Any] = {}
    if address == LOCAL:
        # On no other machine's network, and without a page to look at.
        own = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
        own["num_cpus"] = max(os.cpu_count() or 1, workers)
    try:
        ray.init(address, logging_level="ERROR", log_to_driver=False, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise DepthAnythingError(f"no Ray cluster at {address}: {first_line(error)}") from error
    try:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself goes on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise DepthAnythingError(f"no Ray cluster at {address}: {first_line(error)}") from error


def _share(resources: dict[str, float], workers: int) -> tuple[int, dict[str, float]]:
    """Return how many workers there are, and what each takes of the cluster."""
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    if gpus:
        return workers or gpus, {"num_gpus": min(1.0, gpus / (workers or gpus))}
    count = workers or max(1, cpus // _CPUS)
    return count, {"num_cpus": max(1, cpus // count)}
