"""What there is to look at -> the values that the templates of the page's own sections take."""

from typing import Any

from synatt.evaluation import Evaluation
from synatt.looking import Looks
from synatt.report import scatter
from synatt.report.clipview import Budget, sections


def contexts(evaluation: Evaluation, looks: Looks | None) -> dict[str, Any]:
    """`explained` and `embedding_map` of the page's templates; None where there is no such section."""
    looks = looks or Looks()
    return {"explained": _explained(evaluation, looks), "embedding_map": _map(evaluation, looks)}


def _explained(evaluation: Evaluation, looks: Looks) -> dict[str, Any] | None:
    found = looks.explanations
    if found is None:
        return None
    confused = evaluation.tables["most_confused"].to_pylist()
    return {
        "why_not": found.why_not,
        "sections": sections(found, evaluation.metrics["classes"], confused, Budget()),
        "members": found.members,
        "n_models": found.n_models,
        "crops": found.view.recipe.predict.crops if found.view else 1,
    }


def _map(evaluation: Evaluation, looks: Looks) -> dict[str, Any] | None:
    found = looks.embedding_map
    if found is None:
        return None
    about = {"why_not": found.why_not, "backbone": found.backbone, "n_tracks": found.n_tracks, "css": ""}
    if found.why_not:
        return about
    drawn = scatter.scatter(found, evaluation.metrics["classes"], evaluation.metrics["settings"]["by"])
    return {
        **about,
        **vars(drawn),
        "width": scatter.WIDTH,
        "height": scatter.HEIGHT,
        "backbones": found.backbones,
        "others": [name for name in found.backbones if name != found.backbone],
    }
