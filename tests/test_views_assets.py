"""What a browser gets of a widget: one module, whole, once, and nothing from anywhere else."""

import re
import shutil
import subprocess
from collections import Counter

import pytest

from labkit.views.assets import STATIC, module, stylesheet

SCRIPTS = sorted(path.name for path in STATIC.glob("*.js"))
WIDGETS = [name for name in SCRIPTS if "export default" in (STATIC / name).read_text()]
TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_is_one_module_that_imports_nothing(name):
    text = module(name)
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
    assert "export default" in text


@pytest.mark.parametrize("name", WIDGETS)
def test_joined_files_have_no_name_in_common(name):
    twice = {name: count for name, count in Counter(TOP_LEVEL.findall(module(name))).items() if count > 1}
    assert not twice


@pytest.mark.parametrize("name", WIDGETS)
def test_a_file_that_several_import_comes_once_and_first(name):
    text = module(name)
    assert text.count("function freshId(") == 1
    assert text.index("function freshId(") < text.index("export default")


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.iterdir()))
def test_nothing_is_fetched_from_the_network(name):
    text = (STATIC / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|fetch\(|url\(", text)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", WIDGETS)
def test_the_module_is_javascript(name, tmp_path):
    path = tmp_path / "widget.mjs"
    path.write_text(module(name))
    done = subprocess.run(["node", "--check", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_labs_style_comes_first():
    assert stylesheet("mode_comparer.css").startswith(stylesheet())


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"nothing\.js"):
        module("nothing.js")
