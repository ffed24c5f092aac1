"""One look for page and plots, light and dark: colours by role, and matplotlib figures as SVG that follow the reader's.

A figure is drawn with stand-in colours; `themed_svg` turns each into a CSS variable that the SVG itself defines for
both colour schemes, so a plot suits the page it stands in and also a viewer that opens it alone.
"""

import io
import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Role -> (light, dark). Blue and orange stay apart for every common kind of colour blindness.
COLOURS = {
    "page": ("#f4f6f8", "#0d1117"),
    "paper": ("#ffffff", "#161b22"),
    "ink": ("#1a2230", "#e6ebf2"),
    "muted": ("#59657a", "#9aa7b8"),
    "line": ("#dde2e9", "#2c3440"),
    "accent": ("#2563c9", "#6aa5ff"),
    "warm": ("#c9531c", "#ff9b5e"),
    "good": ("#1b7f5c", "#4cc79a"),
    "violet": ("#7a4fc0", "#b894f5"),
    "rose": ("#b8326e", "#f48bb8"),
    "sand": ("#8a6a10", "#dcb44a"),
    "on_accent": ("#ffffff", "#0d1117"),
}
SERIES = ("accent", "warm", "good", "violet", "rose", "sand", "muted")
_STAND_IN = {role: f"#0{i:x}0{i:x}0{i:x}" for i, role in enumerate(COLOURS, start=1)}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def ink(role: str) -> str:
    """The stand-in colour of a role, for drawing."""
    return _STAND_IN[role]


def css_variables() -> str:
    """CSS that defines ``--role`` for every role, for the light and for the dark scheme."""
    light, dark = (";".join(f"--{role}:{pair[i]}" for role, pair in COLOURS.items()) for i in (0, 1))
    return f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def look() -> AbstractContextManager[None]:
    """Matplotlib settings for drawing and writing a figure."""
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "synatt",
        "text.parse_math": False,  # a class or track may be called $x$
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.edgecolor": ink("muted"),
        "axes.facecolor": "none",
        "figure.facecolor": ink("paper"),
        "grid.color": ink("line"),
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "xtick.color": ink("muted"),
        "ytick.color": ink("muted"),
        "xtick.labelcolor": ink("ink"),
        "ytick.labelcolor": ink("ink"),
        "text.color": ink("ink"),
        "axes.labelcolor": ink("muted"),
        "axes.titlecolor": ink("ink"),
    }
    return mpl.rc_context(settings)


def themed_svg(width_in: float, height_in: float, draw: Callable[[Figure], None]) -> bytes:
    """What `draw` puts on a figure of the given size, as an SVG that follows the viewer's colour scheme."""
    with look(), warnings.catch_warnings():
        # The viewer's fonts draw the text; that the font used for measuring lacks a letter does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        draw(figure)
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]  # without the document type, which names an outside address
    for role, stand_in in _STAND_IN.items():
        svg = svg.replace(stand_in, f"var(--{role})")
    svg = svg.replace("'DejaVu Sans'", FONTS)
    return re.sub(r"(<svg[^>]*>)", lambda m: f"{m[1]}<style>{css_variables()}</style>", svg, count=1).encode()
