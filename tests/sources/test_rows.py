"""Columns of rows: what is shown of a path."""

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from synatt import storage
from synatt.sources.rows import make_rows, shown_paths
from synatt.worklist import SCHEMA

PIECES = ["s3", "https", "memory", ":", "/", "//", "://", "::", "@", "?", "&", "=", ";", "#", "%40", "%3F", "%3A", "\n"]
WORDS = ["token", "X-Amz-Signature", "AKIAIOSFODNN7EXAMPLE", "bucket", "a b", "語", "key", "."]


@given(st.lists(st.lists(st.sampled_from(PIECES + WORDS), max_size=14).map("".join), max_size=5))
@example(["s3://key:secret/x", "s3://u:p@b/x", "s3:/u:p@b/x", "s3://b/x?token=abc", "/a:b/c:d@e?f"])
@example([])
def test_many_paths_are_shown_as_each_is(paths: list[str]) -> None:
    assert shown_paths(pa.array(paths, pa.string())).to_pylist() == [storage.shown(path) for path in paths]


def test_columns_that_are_not_given_are_null_and_one_container_serves_all_rows() -> None:
    made = make_rows(["a", "b"], "s3://u:p@b/x.tar", held="tar", at=[1, 2])
    assert made.batch.schema.equals(SCHEMA)
    assert made.batch.to_pylist() == [
        {
            "track": track,
            "path": "s3://b/x.tar",
            "source": None,
            "location": "s3://u:p@b/x.tar",
            "held": "tar",
            "at": at,
            "size": None,
        }
        for track, at in (("a", 1), ("b", 2))
    ]
