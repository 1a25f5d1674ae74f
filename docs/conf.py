"""Sphinx: pages in Markdown, the reference from docstrings, the gallery from examples/plot_*.py.

make docs      # everything; warnings are errors, nothing is downloaded
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
# This clone's package, and the extensions beside this file.
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_ext")]
# Read when torch and matplotlib are loaded, here and in the gallery's scripts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

import sk_adrec  # noqa: E402

project = "sk_adrec"
copyright = "the sk_adrec developers, BSD-3-Clause"
version = release = sk_adrec.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "public_names",
]
exclude_patterns = ["_build", "_ext", "gallery/**/*.ipynb", "gallery/**/*.md5"]
templates_path = ["_templates"]
nitpicky = False  # types in docstrings are words, not links
default_role = "literal"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False
html_math_renderer = "mathml"

autosummary_generate = True
autodoc_typehints = "none"  # docstrings say more than annotations
numpydoc_show_class_members = False  # the template lists them

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # demo*.py are one program, not gallery.
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"(^|[\\/])(?!plot_)\w+\.py$",
    "doc_module": ("sk_adrec",),
    "backreferences_dir": "gallery/backreferences",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "copyfile_regex": "",
}

html_theme = "pydata_sphinx_theme"
html_title = "sk_adrec"
html_static_path = ["_static"]
html_css_files = ["site.css"]
toc_object_entries_show_parents = "hide"
html_use_index = False
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": "sk_adrec"},
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "navigation_with_keys": False,
    # Pages of the gallery have none: code of 100 characters takes its place. Patterns that
    # overlap would warn.
    "secondary_sidebar_items": {
        pages: ["page-toc"] for pages in ("*", "guide/**", "models/**", "reference/**")
    },
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"index": [], "getting_started": [], "benchmarks": [], "changes": []}
