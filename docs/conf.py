"""Settings of the documentation site, which `make docs` builds with Sphinx."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sphinx.application import Sphinx

import actspan
from actspan.core.colours import style_sheet

DOCS = Path(__file__).parent
STATIC = DOCS.parent / "build" / "static"
STATIC.mkdir(parents=True, exist_ok=True)
sys.path.insert(0, str(DOCS))
# notebooks run the command `actspan` of this environment
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

project = "ActSpan"
author = "the authors of ActSpan"
project_copyright = "the authors of ActSpan, Apache-2.0"
release = actspan.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc", "reference_checks", "sphinx_copybutton"]
exclude_patterns = ["*.py", "**/.ipynb_checkpoints"]
default_role = "code"  # `name` in docstrings
nitpicky = True  # with -W of `make docs`, a reference to nothing fails the build

smartquotes = False  # the pages have code in quotation marks
highlight_language = "none"  # of blocks that name no language
html_theme = "furo"
html_title = f"ActSpan {release}"
html_static_path = ["static", str(STATIC)]
html_css_files = ["colours.css", "site.css"]
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]

nb_execution_mode = "auto"  # notebooks are committed without outputs, so that all are executed
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_execution_in_temp = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give types with shapes and units
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_prompt_text = "$ "


def make_parts(app: Sphinx) -> None:
    """Draw the pictures, and write the colours of charts, before pages are read."""
    from draw_concepts import draw_all

    (STATIC / "colours.css").write_text(style_sheet(), encoding="utf-8")
    for _ in draw_all():
        pass


def setup(app: Sphinx) -> None:
    """Register the generated parts."""
    app.connect("builder-inited", make_parts)
