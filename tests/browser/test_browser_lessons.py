"""The lessons with widgets, opened in JupyterLab, run from top to bottom, and used as a person would."""

import re

import pytest
from lab import NOTEBOOKS, Lab, heard

from labkit.notebooks import read_registry
from labkit.paths import weights_folder

WIDGETS = {
    "00-tour": "codec-explorer",
    "03-attention-alignment": "attention-player",
    "04-homograph-masking": "mask-bench",
    "07-interleave-modes": "mode-comparer",
}
SECONDS = 600
"""The most that a whole lesson may take, beside whatever else the machine does."""


def lacking(name: str) -> str | None:
    """Why a lesson cannot be opened here; None if it can."""
    path = NOTEBOOKS / f"{name}.ipynb"
    if not path.exists():
        return f"there is no lesson {name} yet"
    models = set(re.findall(r"speech-lm-stage-\d", path.read_text(encoding="utf-8")))
    missing = [model for model in sorted(models) if not (weights_folder() / model).exists()]
    if missing:
        return f"{name} needs the shipped weights {', '.join(missing)}"
    return ", ".join(read_registry(NOTEBOOKS)[name].lacking(NOTEBOOKS.parent)) or None


def use_codec_explorer(lab: Lab) -> None:
    """Say a sentence before and after the codec."""
    page = lab.page
    sentence = page.get_by_label("sentence").last
    sentence.scroll_into_view_if_needed()
    sentence.fill("the lead singer dropped the pipe")
    audio = page.locator("audio").last
    before = audio.evaluate("each => each.currentSrc")
    page.get_by_role("button", name="Say it").last.click()
    # The widget puts new elements in place of the old ones.
    lab.until(lambda: audio.evaluate("each => each.currentSrc") not in ("", before), 60, "the new sentence")
    page.locator(".widget-html-content", has_text="the judge hears").last.wait_for(timeout=60_000)
    with heard(audio, lab):
        audio.evaluate("each => each.play()")


def use_attention_player(lab: Lab) -> None:
    """Click a cell and hear its audio token."""
    player = lab.widget("attention-player")
    box = player.locator("canvas").bounding_box()
    with heard(player.locator("audio"), lab):
        player.locator("canvas").click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert player.get_attribute("data-picked")


def use_mask_bench(lab: Lab) -> None:
    """Hide all but the homograph, say the sentence again, hear both."""
    bench = lab.widget("mask-bench")
    bench.get_by_role("button", name="All but the homograph").click()
    bench.get_by_role("button", name="Say it").click()
    lab.until(lambda: bench.locator(".lab-card[data-reading]").count() == 2, 120, "before and after")
    for side in (0, 1):
        with heard(bench.locator("audio").nth(side), lab):
            bench.locator(".lab-card .lab-play").nth(side).click()


def use_mode_comparer(lab: Lab) -> None:
    """Four modes of a sentence of ten words: all playable, how soon is printed, and all come in in the race."""
    comparer = lab.widget("mode-comparer")
    comparer.get_by_label("Sentence").fill("nobody knows why the bear is so surprised at midnight")
    comparer.get_by_role("button", name="Generate").click()
    lanes = comparer.locator(".lab-lane[data-state=done]")
    took = lab.until(lambda: lanes.count() == 4, 60, "four modes")
    print(f"four modes on screen and playable {took:.1f} s after the click")
    for lane in lanes.all():
        with heard(lane.locator("audio"), lab):
            lane.get_by_role("button", name="Play").click()
    lab.until(lambda: comparer.get_attribute("aria-busy") == "false", 60, "the judge")
    comparer.get_by_role("button", name="Race").click()
    lab.until(lambda: comparer.locator(".lab-place[data-place='4']").count() == 1, 60, "the last")
    comparer.get_by_role("button", name="Stop race").click()


USES = {
    "codec-explorer": use_codec_explorer,
    "attention-player": use_attention_player,
    "mask-bench": use_mask_bench,
    "mode-comparer": use_mode_comparer,
}


def test_an_error_in_a_cell_is_told_at_once(lab):
    warned = "import warnings; warnings.warn('not an error')"
    lab.open(lab.server.write("failing", warned, "raise ValueError('this cell fails')", "'never reached'"))
    with pytest.raises(AssertionError, match="this cell fails"):
        lab.run_all(60)
    lab.server.end_kernels()
    lab.open(lab.server.write("warning", warned, "'reached'"))
    lab.run_all(60)
    lab.server.end_kernels()


@pytest.mark.parametrize("name", WIDGETS)
def test_a_lesson_runs_and_its_widget_works(lab, name):
    if why := lacking(name):
        pytest.skip(why)
    lab.open(name)
    lab.run_all(SECONDS)
    USES[WIDGETS[name]](lab)
    # What the lab's own strips show, wherever a lesson has them.
    for number in range(lab.page.locator(".lab-strip-player").count()):
        strip = lab.widget("strip-player", number)
        with heard(strip.locator("audio").first, lab):
            strip.locator(".lab-cell[data-kind=audio]").nth(3).click()
    lab.server.end_kernels()
