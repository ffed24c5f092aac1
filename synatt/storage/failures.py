"""What is raised when storage fails, in one line."""

from synatt.errors import UsageError
from synatt.storage.redaction import redact


class StorageError(UsageError):
    """A path could not be listed, read or written."""


def why(err: BaseException) -> str:
    """The first line of what `err` says."""
    return redact(str(err).splitlines()[0].strip()) if str(err) else type(err).__name__
