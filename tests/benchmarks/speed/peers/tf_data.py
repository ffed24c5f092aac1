"""The method's own kind of pipeline: tf.data maps over files in parallel, tf.signal makes the log-mel."""

import os
from collections.abc import Iterator

import numpy as np

from tests.benchmarks.speed.work import BATCH, N_FFT, RATE_HZ, TOP_DB, Work, stacked


def logmels(work: Work) -> Iterator[np.ndarray]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(work.workers)
    tf.config.threading.set_intra_op_parallelism_threads(work.workers)
    matrix = tf.signal.linear_to_mel_weight_matrix(work.mel_bins, N_FFT // 2 + 1, RATE_HZ, 20.0, RATE_HZ / 2)

    def logmel(path):  # type: ignore[no-untyped-def]
        wave = tf.squeeze(tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1).audio, -1)
        clip = ((wave - tf.reduce_mean(wave)) / tf.math.reduce_std(wave))[: work.samples]
        padded = tf.pad(clip, [[0, work.padded - tf.shape(clip)[0]]])
        spectrum = tf.abs(tf.signal.stft(padded, N_FFT, work.hop, N_FFT))
        mel = tf.matmul(spectrum, matrix)
        db = 20.0 * tf.math.log(tf.maximum(mel, 1e-10)) / np.log(10.0).astype(np.float32)
        return tf.transpose(tf.maximum(db, tf.reduce_max(db) - TOP_DB))

    def batches(paths: tuple[str, ...]) -> Iterator[np.ndarray]:
        data = tf.data.Dataset.from_tensor_slices(list(paths))
        data = data.map(logmel, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
        yield from data.as_numpy_iterator()

    list(batches(work.paths[:BATCH]))
    yield np.empty(0)
    yield from stacked(batches(work.paths))
