"""The page of findings shows every claim and picture; the README's table counts them, and both say what is on file."""

from pathlib import Path

import pytest

from labkit import gallery as module
from labkit.findings import Findings, read_findings
from labkit.gallery import BEGIN, END, gallery, with_summary

REPOSITORY = Path(__file__).parent.parent
TOUR, SPEECH = "00-tour", "01-speech-as-tokens"


@pytest.fixture
def figures(tmp_path):
    folder = tmp_path / "figures"
    for lesson in (SPEECH, TOUR):
        findings = Findings(lesson, folder)
        findings.claim("the right reading is heard", 0.99, 0.98, 1.0, 500, goal=">= 0.98", source="Fig. 1b")
    findings.claim("few cases", 0.95, 0.85, 1.0, 9, goal=">= 0.9", source="Table 5")
    findings.claim("all sound | at once", 0.5, goal=">= 0.9", reached=0.5, source="Table 9")
    (folder / SPEECH / "strip-player.png").touch()
    return folder


def test_the_command_writes_the_page_and_the_table_between_the_markers_and_nothing_else(figures, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    module.main([str(figures), str(readme)])
    assert readme.read_text() == (
        f"before\n\n{BEGIN}\n"
        "| lesson | claims | goal reached | of these uncertain | not reached |\n| --- | --- | --- | --- | --- |\n"
        f"| [{TOUR}](figures/README.md#{TOUR}) | 3 | 2 | 1 | 1 |\n"
        f"| [{SPEECH}](figures/README.md#{SPEECH}) | 1 | 1 | 0 | 0 |\n"
        f"{END}\n\nafter\n"
    )
    page = (figures / "README.md").read_text()
    assert page.index(f"## {TOUR}\n") < page.index(f"## {SPEECH}\n")
    assert "| the right reading is heard | 0.99 | 0.98 … 1 | 500 | >= 0.98 | reached | Fig. 1b |" in page
    assert "| few cases | 0.95 | 0.85 … 1 | 9 | >= 0.9 | reached, uncertain | Table 5 |" in page
    assert r"| all sound \| at once | 0.5 | – | 1 | >= 0.9 | **not reached** | Table 9 |" in page
    assert page.endswith(f"![strip player]({SPEECH}/strip-player.png)\n")


def test_a_document_without_markers_is_refused_before_anything_is_written(figures, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="once each"):
        module.main([str(figures), str(readme)])
    assert not (figures / "README.md").exists()
    assert not (figures / "findings.json").exists()


def test_page_and_readme_show_the_findings_on_file():
    folder = REPOSITORY / "figures"
    findings = read_findings(folder / "findings.json")
    assert findings
    for path, text in (
        (folder / "README.md", lambda _: gallery(findings, folder)),
        (REPOSITORY / "README.md", lambda old: with_summary(old, findings)),
    ):
        old = path.read_text(encoding="utf-8")
        assert text(old) == old, f"run `make figures`: {path} is not what findings.json says"
