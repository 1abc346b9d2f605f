"""Masking cuts what a condition says and nothing else, and the verdict is the judge's on what was said."""

import itertools

import pytest
import torch
from speech import corpus, listener, speech_model, system

from labkit.interleave import BOOST, VANILLA, parse
from labkit.model.knockouts import KnockoutNeverFired
from labkit.study.masking import (
    CONDITIONS,
    FULL,
    NONE,
    OWN,
    Condition,
    MaskedRow,
    Scripts,
    all_but_own,
    all_text,
    another_word,
    cutting,
    deciding_word,
    draw_firsts,
    making,
    mask_homographs,
    masking_measures,
)
from labkit.study.script import script
from labkit.study.verdict import Ear, Verdict, listen, window

PROBES = [
    probe
    for language in ("en", "cmn")
    for pair in corpus().probes(language)[:2]
    for probe in (pair, pair[::-1])
]
TWO = parse("1 2", content=[1, 10, 4, 10])


def words_at(told, positions):
    return {
        word
        for word in range(len(told.words))
        for position in told.of_word(word)
        if position in set(positions)
    }


def test_conditions_hide_what_they_say():
    for utterance, _ in PROBES:
        told, homograph = script(system(), utterance, VANILLA), utterance.homograph
        everything = set(range(len(told.words)))
        assert words_at(told, all_text(told)) == everything
        assert words_at(told, all_but_own(told)) == everything - {homograph.index}
        assert words_at(told, deciding_word(told)) == set(homograph.deciding)
        control = words_at(told, another_word(told))
        assert len(control) == len(homograph.deciding)
        assert not control & {homograph.index, *homograph.deciding}


def test_making_goes_back_to_the_backbones_slot_and_never_to_text():
    told = script(system(), PROBES[0][0], VANILLA)
    span = range(3, 7)
    assert making(told, VANILLA, span) == [told.audio[place] - 1 for place in span]
    told = script(system(), PROBES[0][0], BOOST)
    rows = making(told, BOOST, range(20, 21))
    slot = told.audio[20] - told.prompt
    first = max(each for each in range(slot + 1) if BOOST.maker(each) is None)
    assert set(rows) == {told.prompt + each - 1 for each in range(first, slot + 1)} - set(told.text)
    assert told.audio[20] - 1 in rows


@torch.no_grad()
@pytest.mark.parametrize("mode", [VANILLA, TWO], ids=["vanilla", "two modules"])
def test_a_cut_row_does_not_feel_what_is_hidden(mode):
    """Other words in hidden places change nothing at the first token of the word; in visible places they do."""
    speaker = system(speech_model(2))
    scripts = Scripts(speaker, PROBES, mode)
    for condition, same in ((NONE, True), (OWN, True), (FULL, False)):
        change = cutting(speaker, scripts.plain, scripts.windows, mode, condition)
        with change([0]) if change else torch.no_grad():
            first = _first_state(speaker, scripts.plain[0], scripts.windows[0], ())
            hidden = condition.hidden(scripts.plain[0]) if condition.hidden else all_text(scripts.plain[0])
            other = _first_state(speaker, scripts.plain[0], scripts.windows[0], hidden)
        assert torch.allclose(first, other, atol=1e-5) == same


def _first_state(speaker, told, scope, scrambled):
    """What layer 0 makes of the row before the word: later layers see the text through other rows, as they should."""
    ids = torch.tensor([told.ids])
    ids[0, list(scrambled)] = 5
    row = told.audio[scope.word.start] - 1
    with speaker.model.traced(["backbone.0.attn_out"], positions=[row]) as trace:
        speaker.model(ids)
    return trace["backbone.0.attn_out"]


def test_the_true_sound_is_read_rightly_and_silence_is_babble():
    for utterance, partner in PROBES:
        told = script(system(), utterance, VANILLA)
        scope = window(told, partner)
        codes = system().codes(utterance)
        verdict, sound = listen(
            listener(), scope, [codes[place] for place in scope.audio], utterance.language
        )
        assert verdict.reading == utterance.homograph.reading
        assert not verdict.babble
        assert len(sound) == len(scope.audio) * 1280
        nothing, _ = listen(listener(), scope, [4095] * len(scope.audio), utterance.language)
        assert nothing.babble


def test_an_ear_listens_to_equal_sounds_once_and_gives_the_threads_back():
    (utterance, partner), threads = PROBES[0], torch.get_num_threads()
    scope = window(script(system(), utterance, VANILLA), partner)
    codes = tuple(system().codes(utterance)[place] for place in scope.audio)
    with Ear(listener()) as ear:
        verdicts = [ear.hear(scope, codes, utterance) for _ in range(2)]
        assert verdicts[0] is verdicts[1]
        assert verdicts[0].result() == listen(listener(), scope, codes, utterance.language)[0]
        with pytest.raises(TypeError):
            ear.hear(scope, (None,), utterance).result()
    assert torch.get_num_threads() == threads


def test_windows_need_a_homograph():
    plain = corpus()[corpus().indices(language="en", split="test", kind="plain")[0]]
    with pytest.raises(ValueError, match="has no homograph"):
        window(script(system(), plain, VANILLA), plain)


def test_every_condition_is_asked_and_the_prefix_is_the_true_one():
    speaker = system(speech_model(0))
    rows = mask_homographs(speaker, listener(), PROBES, VANILLA, progress=False)
    assert [row.condition for row in rows] == [each.name for each in CONDITIONS for _ in PROBES]
    scripts = Scripts(speaker, PROBES, VANILLA)
    for place, row in enumerate(rows):
        (utterance, partner), scope = PROBES[place % len(PROBES)], scripts.windows[place % len(PROBES)]
        condition = CONDITIONS[place // len(PROBES)]
        assert row.meant == (partner if condition.swapped else utterance).homograph.reading
        before = max(0, scope.word.start - condition.earlier) - scope.audio.start
        assert len(row.codes) == len(scope.audio)
        if before > 0:
            true = scripts.codes[place % len(PROBES)][scope.audio.start :][:before]
            assert row.codes[:before] == true


def test_a_row_tells_who_began_its_word():
    speaker = system(speech_model(2))
    swapped = Condition("deciding word swapped", swapped=True)
    for mode in (VANILLA, TWO):
        rows = mask_homographs(speaker, listener(), PROBES, mode, [FULL, swapped], progress=False)
        scripts = Scripts(speaker, PROBES, mode)
        told = [*scripts.plain, *scripts.swapped]
        for row, read, scope in zip(rows, told, scripts.windows * 2, strict=True):
            assert row.begun_by == mode.maker(read.audio[scope.word.start] - read.prompt)
        makers = {row.begun_by for row in rows}
        assert makers == {None} if mode is VANILLA else makers - {None}


def test_probes_keep_their_place_however_many_go_on_together():
    model = speech_model(0)
    at_once, in_parts = (
        mask_homographs(system(model, batch=batch), listener(), PROBES, VANILLA, [FULL, NONE], progress=False)
        for batch in (len(PROBES), 3)
    )
    assert in_parts == at_once


def test_measures_count_rows_by_condition():
    def row(condition, reading, babble):
        return MaskedRow(0, "lead", condition, "a", Verdict(reading, babble, ()), ())

    rows = [row("x", "a", False), row("x", "b", True), row("y", None, True), row("y", "a", True)]
    measures = masking_measures(rows)
    assert measures["x"]["read as meant"].value == 0.5
    assert measures["x"]["babble"].value == 0.5
    assert measures["y"]["babble"].value == 1.0
    assert measures["y"]["read as meant"].n == 2


def test_a_condition_that_hides_nothing_is_an_error():
    idle = Condition("idle", lambda told: [])
    with pytest.raises(KnockoutNeverFired, match="idle"):
        mask_homographs(system(speech_model(0)), listener(), PROBES[:2], VANILLA, [idle], progress=False)


def test_the_conditions_have_names_of_their_own():
    assert len({each.name for each in CONDITIONS}) == len(CONDITIONS)


def test_chance_draws_which_of_a_pair_is_read():
    pairs = [(2 * place, 2 * place + 1) for place in range(60)]
    firsts = draw_firsts(pairs)
    assert [tuple(sorted(pair)) for pair in firsts] == pairs
    assert firsts == draw_firsts(pairs) != draw_firsts(pairs, seed=1)
    turned = [pair[0] % 2 for pair in firsts]
    assert 15 < sum(turned) < 45
    assert 15 < sum(here != there for here, there in itertools.pairwise(turned)) < 45, "no parity"
