"""The quickstart's corpus: real speech rendered by real synthesizers, without a download.

`sentences` are said by `synthesizers` and taken through vocoders by `copies`; `roster` says which algorithm is a
known class and which is unknown; `plan` lists the clips, `clip` makes one, `render` makes them all.
"""

from synatt.quickstart.plan import Sizes
from synatt.quickstart.render import RenderedCorpus, render_corpus

__all__ = ["RenderedCorpus", "Sizes", "render_corpus"]
