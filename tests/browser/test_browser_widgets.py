"""Every widget, used as a person would, on a tiny model of random weights: it says nothing, but it speaks."""

import pytest
from lab import Lab, heard

SETUP = """
from speech import corpus
from talkative import talkative
from labkit.evaluation.listener import Listener
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.evaluation.transcript import Transcriber
from labkit.interleave import BOOST
from labkit.study.alignment_weights import attend_words
from labkit.study.script import script
from labkit.views.attention_player import AttentionPlayer
from labkit.views.mask_bench import MaskBench
from labkit.views.mode_comparer import ModeComparer
from labkit.views.strip_player import StripPlayer
speaker, judge = talkative(48), PhonemeJudge.load()
endless = talkative(900)
said = script(speaker, corpus()[0], BOOST)
(attention,) = attend_words(speaker, [said], progress=False)
every = {"all heads": attention.of("predicting", "both").mean(0)}
made = []
"""
CELLS = (
    SETUP,
    "StripPlayer.of_script(said, BOOST, speaker.vocabulary, speaker.codec)",
    "AttentionPlayer.of_true_audio(attention, speaker.codec, speaker.vocabulary, maps=every)",
    "MaskBench(speaker, Listener(speaker.codec, judge), corpus().probes('en')[:2], BOOST)",
    "made.append(ModeComparer({'tiny': speaker, 'endless': lambda: endless}, Transcriber(judge)))\nmade[-1]",
    "print('closed:', [each.closed for each in made], [len(each._systems) for each in made])",
)
COMPARER = CELLS.index(next(cell for cell in CELLS if "ModeComparer({" in cell))
KNOWN = ["turbo", "boost", "balance", "vanilla"]


@pytest.fixture(scope="module", autouse=True)
def notebook(lab: Lab) -> None:
    lab.open(lab.server.write("widgets", *CELLS))
    lab.run_all(400)


def time_of(audio) -> float:
    return audio.evaluate("each => each.currentTime")


def stands(audio) -> bool:
    return audio.evaluate("each => each.paused")


# The token strip player


def test_a_token_is_heard_when_clicked_and_only_that_token(lab):
    strip = lab.widget("strip-player")
    audio, cell = strip.locator("audio"), strip.locator(".lab-cell[data-kind=audio]").nth(10)
    cell.click()
    lab.until(lambda: stands(audio), 5, "the token to end")
    assert time_of(audio) == pytest.approx((10 + 2) / 12.5, abs=0.08)  # with one token of context after it
    assert strip.locator(".lab-heard").get_attribute("data-index") == cell.get_attribute("data-index")


def test_a_word_is_heard_where_it_truly_sounds(lab):
    strip = lab.widget("strip-player")
    word = strip.locator(".lab-cell[data-kind=text]").nth(0)
    with heard(strip.locator("audio"), lab):
        word.click()
    assert "made by the backbone" in word.get_attribute("title")


def test_a_dragged_span_goes_round_until_escape(lab):
    strip = lab.widget("strip-player")
    audio, cells = strip.locator("audio"), strip.locator(".lab-cell[data-kind=audio]")
    cells.nth(2).drag_to(cells.nth(6))
    assert strip.locator("[aria-selected=true]").count() == 5
    seen = []
    lab.until(
        lambda: bool(seen.append(time_of(audio))) or (len(seen) > 3 and seen[-1] < seen[-2]), 10, "a round"
    )
    assert 2 / 12.5 - 0.05 <= min(seen[1:]) <= max(seen) <= 7 / 12.5 + 0.1
    lab.page.keyboard.press("Escape")
    assert stands(audio)
    assert strip.locator("[aria-selected=true]").count() == 0


def test_the_strip_is_played_by_keyboard_alone(lab):
    strip = lab.widget("strip-player")
    audio = strip.locator("audio")
    strip.locator(".lab-cell[tabindex='0']").focus()
    lab.page.keyboard.press("Home")
    for _ in range(3):
        lab.page.keyboard.press("ArrowRight")
    assert strip.locator(":focus").get_attribute("data-index") == "3"
    lab.page.keyboard.press("Shift+ArrowRight")
    assert strip.locator("[aria-selected=true]").count() == 2
    lab.page.keyboard.press("Escape")
    with heard(audio, lab):
        lab.page.keyboard.press("Space")
    assert strip.locator(".lab-playhead").is_visible()
    lab.page.keyboard.press("Space")
    assert stands(audio)


def test_whoever_begins_to_play_silences_the_others(lab):
    strip, attention = lab.widget("strip-player"), lab.widget("attention-player")
    with heard(strip.locator("audio"), lab):
        strip.locator(".lab-play").click()
    with heard(attention.locator("audio"), lab):
        attention.locator(".lab-play").click()
    assert stands(strip.locator("audio"))


# The attention player


def test_a_cell_is_heard_and_its_word_is_lit(lab):
    attention = lab.widget("attention-player")
    canvas = attention.locator("canvas")
    box = canvas.bounding_box()
    with heard(attention.locator("audio"), lab):
        canvas.click(position={"x": box["width"] / 2, "y": 1.5 * 36})
    column, row = attention.get_attribute("data-picked").split(",")
    assert row == "1"
    assert int(column) > 5
    assert "lab-chosen" in attention.locator(".lab-map-word").nth(1).get_attribute("class")
    assert "of the attention" in attention.locator(".lab-told").inner_text()


def test_any_head_of_any_layer_or_module_can_be_looked_at(lab):
    attention = lab.widget("attention-player")
    before = attention.locator("canvas").evaluate("each => each.toDataURL()")
    attention.get_by_label("Shown").select_option("one head")
    attention.get_by_label("Layer or module").select_option("module.3")
    attention.get_by_label("Head", exact=True).select_option("2")
    attention.get_by_label("Looking at").select_option("prompt")
    lab.until(
        lambda: attention.get_attribute("data-look") == "module.3 2 predicting prompt", 20, "the other head"
    )
    assert attention.locator("canvas").evaluate("each => each.toDataURL()") != before
    assert attention.locator(".lab-error").is_hidden()


def test_the_map_is_read_by_keyboard_alone(lab):
    attention = lab.widget("attention-player")
    attention.locator(".lab-map-scroll").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowDown"):
        lab.page.keyboard.press(key)
    with heard(attention.locator("audio"), lab):
        lab.page.keyboard.press("Enter")
    assert attention.get_attribute("data-picked") == "2,1"


# The mask bench


def test_a_word_is_hidden_and_the_sentence_said_again(lab):
    bench = lab.widget("mask-bench")
    for copy in ("asked", "written"):
        bench.locator(f"[data-copy={copy}] .lab-chip").nth(0).click()
    bench.get_by_role("button", name="Say it").click()
    lab.until(lambda: bench.locator(".lab-card[data-reading]").count() == 2, 60, "before and after")
    assert "0.0 %" in bench.locator(".lab-shares small").nth(0).inner_text().split("→")[1]
    for side in (0, 1):
        with heard(bench.locator("audio").nth(side), lab):
            bench.locator(".lab-card .lab-play").nth(side).click()


def test_roles_layers_and_heads_are_chosen_by_buttons(lab):
    bench = lab.widget("mask-bench")
    bench.get_by_role("button", name="All but the homograph").click()
    words = bench.locator("[data-copy=asked] .lab-chip")
    assert bench.locator("[data-copy=asked] [aria-pressed=true]").count() == words.count() - 1
    bench.get_by_text("Only in some layers").click()
    bench.locator("[data-place=heads]").get_by_role("button", name="none").click()
    bench.get_by_role("button", name="Say it").click()
    alert = bench.get_by_role("alert")
    alert.wait_for()
    assert "choose at least one layer or module and one head" in alert.inner_text()
    bench.locator("[data-place=heads] .lab-chip").nth(0).click()
    bench.get_by_role("button", name="Say it").click()
    lab.until(alert.is_hidden, 60, "the error to go")
    lab.until(lambda: bench.locator(".lab-card[data-reading]").count() == 2, 60, "before and after")


# The mode comparer


def compare(lab: Lab, sentence: str, modes: list[str], schedule: str = "", model: str = "tiny"):
    comparer = lab.widget("mode-comparer")
    comparer.get_by_label("Sentence").fill(sentence)
    for name in KNOWN:
        comparer.get_by_role("checkbox", name=name.capitalize()).set_checked(name in modes)
    comparer.get_by_label("Your own schedule").fill(schedule)
    settings = comparer.locator(".lab-settings")
    if settings.get_attribute("open") is None:
        settings.locator("summary").click()
    comparer.get_by_label("Model", exact=True).select_option(model)
    comparer.get_by_role("button", name="Generate").click()
    return comparer


def done(comparer, lanes: int, lab: Lab, within: float = 60) -> float:
    finished = comparer.locator(".lab-lane[data-state=done]")
    took = lab.until(lambda: finished.count() == lanes, within, f"{lanes} modes")
    lab.until(lambda: comparer.get_attribute("aria-busy") == "false", within, "the judge")
    return took


def test_a_sentence_in_chosen_modes_and_an_own_schedule(lab):
    comparer = compare(lab, "the bass is cold", ["turbo", "vanilla"], "1 6 3 10")
    done(comparer, 3, lab)
    lanes = comparer.locator(".lab-lane")
    assert [lane.get_attribute("data-mode") for lane in lanes.all()] == ["turbo", "vanilla", "[1, 6, 3, 10]"]
    for lane in lanes.all():
        assert lane.get_attribute("data-tokens") == "48"
        assert lane.locator("path").count() > 0
        assert lane.get_attribute("data-heard")
        with heard(lane.locator("audio"), lab):
            lane.get_by_role("button", name="Play").click()
    assert "× Vanilla" in lanes.nth(0).inner_text()


def test_a_lanes_tokens_open_as_a_strip(lab):
    lane = lab.widget("mode-comparer").locator(".lab-lane").nth(0)
    lane.locator(".lab-details summary").click()
    lab.until(lambda: lane.locator(".lab-cell").count() == 48, 20, "the strip")
    with heard(lane.locator("audio"), lab):
        lane.locator(".lab-cell[data-kind=audio]").nth(20).click()


def test_in_the_race_the_first_is_heard_first(lab):
    comparer = lab.widget("mode-comparer")
    lanes = comparer.locator(".lab-lane").all()
    first = min(lanes, key=lambda lane: float(lane.get_attribute("data-first")))
    last = max(lanes, key=lambda lane: float(lane.get_attribute("data-first")))
    with heard(first.locator("audio"), lab), heard(last.locator("audio"), lab):
        comparer.get_by_role("button", name="Race").click()
        lab.until(lambda: first.locator(".lab-place").inner_text() == "1st", 20, "the first")
        lab.until(lambda: last.locator(".lab-place").inner_text() == "3rd", 20, "the last")
    comparer.get_by_role("button", name="Stop race").click()
    assert all(stands(lane.locator("audio")) for lane in lanes)


def test_what_cannot_be_run_is_said_and_the_next_success_clears_it(lab):
    comparer = compare(lab, "the bass is cold", ["turbo"], "0 4")
    alert = comparer.get_by_role("alert")
    alert.wait_for()
    assert "Start with at least 1 backbone token" in alert.inner_text()
    done(compare(lab, "the bass is cold", ["turbo"]), 1, lab)
    assert alert.is_hidden()


@pytest.mark.parametrize("way", ["stop", "interrupt"])
def test_stop_and_interrupt_stop(lab, way):
    comparer = compare(lab, "the bass is cold", ["vanilla", "turbo"], model="endless")
    lane = comparer.locator(".lab-lane[data-state=working]").first  # not one of an earlier comparison
    lane.wait_for()
    if way == "stop":
        comparer.get_by_role("button", name="Stop", exact=False).first.click()
    else:
        lab.interrupt()
    took = lab.until(lambda: comparer.get_attribute("aria-busy") == "false", 10, "the end")
    assert took < 5
    assert comparer.locator(".lab-lane[data-state=done]").count() == 0
    assert int(comparer.locator(".lab-lane").nth(0).get_attribute("data-tokens")) < 900
    lab.run_cell(len(CELLS) - 1)  # the kernel is there for others
    assert comparer.get_by_role("button", name="Generate").is_enabled()


def test_after_running_the_cell_again_the_new_widget_works_and_the_old_one_has_let_go(lab):
    lab.run_cell(COMPARER)
    done(compare(lab, "a cold river", ["boost"]), 1, lab)
    lab.run_cell(len(CELLS) - 1)
    told = lab.page.locator(".jp-OutputArea-output", has_text="closed:").last.inner_text()
    assert told.strip() == "closed: [True, False] [0, 2]"


def test_on_a_narrow_window_nothing_is_cut_off(lab):
    lab.page.set_viewport_size({"width": 760, "height": 1000})
    try:
        for name in ("strip-player", "attention-player", "mask-bench", "mode-comparer"):
            widget = lab.widget(name)
            wide = widget.evaluate("each => [each.scrollWidth, each.clientWidth]")
            assert wide[0] <= wide[1] + 1, name
    finally:
        lab.page.set_viewport_size({"width": 1500, "height": 1100})
