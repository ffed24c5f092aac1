"""Every path the product takes goes through here: a local path or a URI (``s3://``, ``gs://``, ...) over pyarrow.

Paths stay plain strings throughout. What is written is seen whole or not at all, and no message shows a credential.
"""

from synatt.storage.failures import Kind, Reason, StorageError, why
from synatt.storage.filesystems import absolute, filesystem, is_uri, join, without_credentials
from synatt.storage.handler import as_filesystem
from synatt.storage.listing import exists, info, is_dir, is_file, iter_files, list_dirs, list_files, versions
from synatt.storage.moving import check_writable, delete_dir, delete_file, discard, make_dirs, move, move_dir
from synatt.storage.patience import RUN_PATIENCE_S, set_patience
from synatt.storage.reading import open_input, read_bytes, read_json, read_text
from synatt.storage.redaction import redact, shown, shown_in
from synatt.storage.tables import parquet_files, read_table, write_table
from synatt.storage.writing import open_output, write_bytes, write_json, write_text

__all__ = [
    "RUN_PATIENCE_S",
    "Kind",
    "Reason",
    "StorageError",
    "absolute",
    "as_filesystem",
    "check_writable",
    "delete_dir",
    "delete_file",
    "discard",
    "exists",
    "filesystem",
    "info",
    "is_dir",
    "is_file",
    "is_uri",
    "iter_files",
    "join",
    "list_dirs",
    "list_files",
    "make_dirs",
    "move",
    "move_dir",
    "open_input",
    "open_output",
    "parquet_files",
    "read_bytes",
    "read_json",
    "read_table",
    "read_text",
    "redact",
    "set_patience",
    "shown",
    "shown_in",
    "versions",
    "why",
    "without_credentials",
    "write_bytes",
    "write_json",
    "write_table",
    "write_text",
]
