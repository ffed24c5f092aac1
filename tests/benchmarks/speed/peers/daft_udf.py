"""Daft: a dataframe of paths and a batch function in its own worker processes; soundfile, numpy and scipy inside."""

from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import BATCH, Work, stacked


def logmels(work: Work) -> Iterator[np.ndarray]:
    import daft

    dtype = daft.DataType.tensor(daft.DataType.float32(), shape=(work.mel_bins, work.frames))

    @daft.cls(max_concurrency=work.workers, use_process=True)
    class LogMel:
        def __init__(self) -> None:
            from tests.benchmarks.speed.peers import numpy_pool

            numpy_pool.set_up(work)

        @daft.method.batch(return_dtype=dtype, batch_size=BATCH)
        def __call__(self, path: daft.Series) -> list[np.ndarray]:
            from tests.benchmarks.speed.peers import numpy_pool

            return list(numpy_pool.batch(tuple(path.to_pylist())))

    made = LogMel()

    def batches(paths: tuple[str, ...]) -> Iterator[np.ndarray]:
        frame = daft.from_pydict({"path": list(paths)}).select(made(daft.col("path")).alias("logmel"))
        for part in frame.iter_partitions():
            yield np.stack(part.to_pydict()["logmel"])

    list(batches(work.paths[:BATCH] * 2))
    yield np.empty(0)
    yield from stacked(batches(work.paths))
