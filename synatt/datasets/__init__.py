"""Data sets as people keep them -> manifest rows. `prepare` is the only door; one module here knows one layout.

Light to import: what reads tables is imported when it is called.
"""

from collections.abc import Sequence

from synatt.datasets.options import Options, ProtocolOptions

LAYOUTS = ("spcup", "ljspeech", "vctk", "librispeech", "synthetic", "protocol", "folder")
PRESETS = ("asvspoof2019-la", "asvspoof2021-la", "asvspoof2021-df", "asvspoof5")
# Sets of which the method uses a share.
SHARED_SOURCES = ("ljspeech", "vctk", "librispeech", "synthetic")

__all__ = ["LAYOUTS", "PRESETS", "SHARED_SOURCES", "Options", "ProtocolOptions", "prepare"]


def prepare(
    inputs: Sequence[str],
    output: str,
    layouts: Sequence[str] = ("auto",),
    options: Options | None = None,
    strict: bool = False,
) -> str:
    """Write `manifest.parquet` and `problems.parquet` for the data sets below `inputs` to the folder `output`.

    Args:
        inputs: folders or bucket prefixes.
        output: local folder or URI; each file is written whole or not at all, the problems first.
        layouts: 'auto' or one of `LAYOUTS`, for all inputs or one for each.
        strict: any problem is an error; the manifest is then not written, the problems are.

    Returns:
        The path of the manifest.

    Raises:
        UsageError: an input or choice is wrong, nothing usable was found, or `strict` and there are problems.
    """
    from synatt.datasets.collect import collect, write

    return write(collect(inputs, layouts, options or Options()), output, strict)
