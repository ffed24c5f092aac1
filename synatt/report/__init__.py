"""The page: an evaluation as plots and one self-contained `report.html`. `render` is the only door."""

from synatt.report.page import render

__all__ = ["render"]
