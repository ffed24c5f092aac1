"""What decides a trained model, as a digest; and what a reader needs to repeat its training."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synatt import __version__, storage
from synatt.manifest import Manifest
from synatt.model import METRICS_FILE
from synatt.openset import Confidence
from synatt.recipe import Backbone, Recipe

# Settings of a run that do not decide what comes out of it.
HOW_IT_RUNS = {"min_workers", "resize_s", "max_failures", "threads", "halve_batch"}


def fingerprint(rows: Manifest, recipe: Recipe, backbone: Backbone, stage: int, epochs: int) -> str:
    """12 hex digits of all that decides a trained model: rows and labels, settings, backbone, epochs."""
    digest = hashlib.sha256()
    for batch in rows.table.select(["track", "path", "label", "p"]).to_batches(max_chunksize=65_536):
        digest.update(json.dumps([c.to_pylist() for c in batch.columns]).encode())
    apart: Any = {"backbones": True, "name": True, "predict": True, "tune": True, "train": HOW_IT_RUNS}
    settings = recipe.model_dump(mode="json", exclude=apart)
    settings |= {"confidence": Confidence.of(recipe.predict).as_dict(), "neighbours": recipe.predict.neighbours}
    digest.update(json.dumps([settings, backbone.model_dump(mode="json"), stage, epochs], sort_keys=True).encode())
    return digest.hexdigest()[:12]


def is_done(model_folder: str, key: str) -> bool:
    """True when `model_folder` holds a finished model with this fingerprint."""
    path = storage.join(model_folder, METRICS_FILE)
    return storage.is_file(path) and storage.read_json(path).get("fingerprint") == key


def provenance(recipe: Recipe) -> dict[str, Any]:
    """What a reader needs to repeat a run: seed, versions of code and packages, platform."""
    packages = ("torch", "torchaudio", "timm", "ray", "numpy")
    return {
        "seed": recipe.seed,
        "code": code_digest(),
        "versions": {"synatt": __version__, **{name: version(name) for name in packages}},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def code_digest() -> str:
    """12 hex digits of the package's own source files, which say more than a version between two releases."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
