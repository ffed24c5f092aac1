"""Where Ray Train and Ray Tune keep their records: on a disk by themselves, in a bucket through Synatt's storage.

Ray's own way to a bucket makes folder objects, which some servers refuse, does not try again, and pickles the keys.
"""

from typing import Any

from synatt import storage


def kept_in(folder: str, pickle_credentials: bool = False) -> dict[str, Any]:
    """Arguments of a `RunConfig` whose records go below `folder`, a path or URI.

    Args:
        pickle_credentials: whether workers get the credentials that stand in the URI. Ray Tune writes what it pickles
            into its records, and its workers need none.
    """
    if not storage.is_uri(folder):
        return {"storage_path": folder}
    served, path = storage.as_filesystem(folder, pickle_credentials)
    return {"storage_path": path, "storage_filesystem": served}
