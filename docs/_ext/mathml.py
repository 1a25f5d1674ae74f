"""Formulas as MathML, which browsers draw themselves: no script, nothing fetched when one reads."""

import html

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


def mathml(node, as_block):
    """MathML of a formula; of one that docutils cannot read, a warning and its source."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        LOGGER.warning("%s in formula %r", error, node.astext(), location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def visit_inline(translator, node):
    """Write a formula of a line."""
    translator.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def visit_block(translator, node):
    """Write a formula of its own; wide ones scroll in their box."""
    translator.body.append('<div class="math-block">')
    translator.body.append(mathml(node, as_block=True))
    translator.body.append("</div>")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer under the name that `html_math_renderer` asks for."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
