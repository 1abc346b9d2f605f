"""Heads are chosen where they were shown, scored where they were not, and no baseline is flattered or cheated."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech import corpus, system

from labkit.interleave import BOOST
from labkit.study.alignment import (
    Look,
    accuracy_gain,
    alignment_measures,
    follow,
    follow_monotone,
    later,
    monotone_path,
    moved,
    score,
    score_all,
    smoothed,
    word_weights,
)
from labkit.study.alignment_baselines import (
    Line,
    any_word,
    choose_line,
    choose_mean_of_all,
    previous_word,
    truth_late,
)
from labkit.study.alignment_choice import LAGS, OFFSETS, WINDOWS, choose_looks, rank_looks
from labkit.study.alignment_weights import Head, WordAttention
from labkit.study.script import Script, script

HEADS = tuple(Head(place, index) for place in ("backbone.0", "backbone.1", "module.0") for index in (0, 1))


@cache
def scripts(count: int = 6) -> list[Script]:
    return [script(system(), corpus()[index], BOOST) for index in range(count)]


def truth(one: Script) -> np.ndarray:
    """The word sounding in each audio token; in silence, the one that sounded last."""
    words = [-1 if word is None else word for word in one.sounding]
    return np.maximum.accumulate(np.maximum(words, 0))


def drawn(one: Script, by_head: dict[Head, tuple[str, str, int]], seed: int = 0) -> WordAttention:
    """Attention in which some heads follow the sounding word, from one row, at one copy, so many words ahead of it.

    The others, and the rest of these, are noise.
    """
    generator = np.random.default_rng(seed)
    weights = generator.uniform(0, 0.02, (len(HEADS), 2, 2, len(one.audio), len(one.words))).astype("float32")
    tokens = np.arange(len(one.audio))
    for head, (row, copy, ahead) in by_head.items():
        word = np.clip(truth(one) + ahead, 0, len(one.words) - 1)
        place = HEADS.index(head), ("predicting", "own").index(row), ("prompt", "answer").index(copy)
        weights[*place, tokens, word] += 0.5
    return WordAttention(one, HEADS, weights, np.full((len(HEADS), 2, 3), 1 / 3, "float32"))


def attentions(by_head: dict[Head, tuple[str, str, int]], count: int = 6) -> list[WordAttention]:
    return [drawn(one, by_head, seed) for seed, one in enumerate(scripts(count))]


# Choosing


@pytest.mark.parametrize("row", ["predicting", "own"])
@pytest.mark.parametrize("copy", ["prompt", "answer"])
@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_the_head_that_follows_is_found_with_its_row_copy_and_offset(row, copy, ahead):
    best = rank_looks(attentions({HEADS[3]: (row, copy, ahead)}))[0]
    assert best.look == Look(HEADS[3], row, copy, -ahead)
    assert best.accuracy > 0.7  # the first word or the last has nobody to be told from


@pytest.mark.parametrize("early", [0, 1, 2])
def test_the_head_that_is_ahead_of_the_sound_is_found_with_its_lag(early):
    seen = []
    for one in attentions({HEADS[3]: ("own", "prompt", 0)}):
        weights = one.weights.copy()
        weights[3] = np.roll(weights[3], -early, axis=-2)
        seen.append(replace(one, weights=weights))
    best = rank_looks(seen)[0]
    assert best.look == Look(HEADS[3], "own", "prompt", 0, early)
    assert best.accuracy > 0.95


def test_both_copies_together_are_their_sum():
    one = attentions({HEADS[0]: ("own", "answer", 0)}, 1)[0]
    assert np.allclose(one.of("own", "both"), one.of("own", "prompt") + one.of("own", "answer"))
    with pytest.raises(ValueError, match="row must be one of"):
        one.of("next", "both")


def test_the_ranking_says_what_scoring_finds():
    seen = attentions({HEADS[1]: ("own", "prompt", 1)})
    for each in [*rank_looks(seen)[:3], *rank_looks(seen)[-3:]]:
        rows = score_all(seen, follow([each.look]))
        assert each.accuracy == pytest.approx(
            sum(row.right for row in rows) / sum(row.tokens for row in rows)
        )


def test_heads_that_err_apart_do_better_together():
    """Each of two heads is lost in half of the audio tokens, not in the same ones."""
    seen = []
    for one in attentions({HEADS[0]: ("own", "prompt", 0), HEADS[4]: ("own", "prompt", 0)}):
        weights = one.weights.copy()
        weights[0, 1, 0, ::2] = weights[4, 1, 0, 1::2] = 0.01
        seen.append(replace(one, weights=weights))
    looks, _ = choose_looks(seen, rank_looks(seen, lags=[0]), windows=[1])
    assert {look.head for look in looks[:2]} == {HEADS[0], HEADS[4]}
    together, alone = (
        alignment_measures(score_all(seen, follow(way)))["accuracy"].value for way in (looks, looks[:1])
    )
    assert together > alone + 0.2


def test_no_more_looks_than_asked_and_one_if_that_is_best():
    seen = attentions({HEADS[2]: ("own", "answer", 0)})
    looks, _ = choose_looks(seen, rank_looks(seen), most=5)
    assert looks[0].head == HEADS[2]
    assert len(looks) <= 5
    assert len(choose_looks(seen, rank_looks(seen), most=1).looks) == 1


def test_a_head_that_is_lost_now_and_then_is_read_in_a_window_and_one_that_is_not_is_not():
    """In every fourth audio token it looks at the first word or the last."""
    seen = attentions({HEADS[2]: ("own", "prompt", 0)})
    assert choose_looks(seen, rank_looks(seen)).window == 1
    strayed = []
    for one in seen:
        weights = one.weights.copy()
        weights[2, 1, 0, ::4] = 0
        weights[2, 1, 0, ::8, 0] = weights[2, 1, 0, 4::8, -1] = 0.5
        strayed.append(replace(one, weights=weights))
    chosen = choose_looks(strayed, rank_looks(strayed))
    assert chosen.window > 1
    alone, smooth = (
        alignment_measures(score_all(strayed, follow(chosen.looks, window)))["accuracy"].value
        for window in (1, chosen.window)
    )
    assert smooth > alone + 0.1


def test_smoothing_and_moving_in_time_keep_each_tokens_weight():
    weights = np.random.default_rng(0).uniform(size=(2, 7, 3))
    weights /= weights.sum(-1, keepdims=True)
    for window in WINDOWS:
        assert np.allclose(smoothed(weights, window).sum(-1), 1)
        assert np.allclose(smoothed(weights, window)[:, 3], weights[:, 3 - window // 2 :][:, :window].mean(1))
    assert np.allclose(smoothed(weights, 1), weights)
    for lag in LAGS:
        assert np.allclose(later(weights, lag)[:, lag:], weights[:, : 7 - lag])
        assert np.allclose(later(weights, lag)[:, :lag], weights[:, :1])


@given(words=st.integers(1, 6), offset=st.integers(-8, 8))
def test_moving_keeps_all_weight_inside_the_sentence(words, offset):
    weights = np.random.default_rng(words).uniform(size=(3, words))
    there = moved(weights, offset)
    assert np.allclose(there.sum(-1), weights.sum(-1))
    for word in range(words):
        single = moved(np.eye(words)[word], offset)
        assert single.argmax() == min(max(word + offset, 0), words - 1)


def test_looks_have_one_vote_each_and_nothing_seen_favors_no_word():
    one = attentions({}, 1)[0]
    weights = one.weights.copy()
    weights[0] *= 1000
    weights[1] = 0
    louder = replace(one, weights=weights)
    looks = [Look(head, "own", "prompt") for head in HEADS[:2]]
    assert np.allclose(word_weights(louder, looks[:1]), word_weights(one, looks[:1]))
    assert np.allclose(word_weights(louder, looks[1:]), 1 / len(one.script.words))
    assert np.allclose(word_weights(louder, looks).sum(-1), 1)


# Scoring


def test_the_truth_scores_full_marks():
    for one in scripts():
        row = score(one, truth(one))
        assert (row.right, row.words_off, row.text_tokens_off, row.seconds_off) == (row.tokens, 0, 0, 0)
        assert row.forward == row.steps == row.tokens - 1
        assert row.tokens == sum(word is not None for word in one.sounding)


def test_errors_are_counted_in_words_text_tokens_and_seconds():
    one = scripts(1)[0]
    place = next(place for place, word in enumerate(one.sounding) if word == 1)
    attended = truth(one)
    attended[place] = 3
    row, times = score(one, attended), one.utterance.words[3]
    assert row.words_off == 2
    assert row.right == row.tokens - 1
    assert row.text_tokens_off == one.asked[3][0] - one.asked[1][-1]
    assert row.seconds_off == pytest.approx(times.start - (place + 0.5) / 12.5)


def test_a_step_back_is_counted_once_and_silence_does_not_count():
    one = scripts(1)[0]
    sounding = [place for place, word in enumerate(one.sounding) if word is not None]
    attended = truth(one)
    attended[[place for place, word in enumerate(one.sounding) if word is None]] = len(one.words) - 1
    assert score(one, attended).forward == score(one, attended).steps
    attended[sounding[0]] = 2
    assert score(one, attended).forward == score(one, attended).steps - 1


@pytest.mark.parametrize("attended", [[], [0], [99], [-1]])
def test_what_is_no_word_for_each_audio_token_is_refused(attended):
    one = scripts(1)[0]
    with pytest.raises(ValueError, match="give a word from 0 to"):
        score(one, np.array(attended * (len(one.audio) if len(attended) and attended != [0] else 1)))


def test_an_utterance_in_which_no_word_sounds_is_refused():
    one = scripts(1)[0]
    silent = replace(one, sounding=(None,) * len(one.audio))
    with pytest.raises(ValueError, match="no word sounds"):
        score(silent, truth(one))


def test_intervals_are_over_utterances():
    seen = attentions({HEADS[0]: ("own", "prompt", 0)}, 5)
    rows = score_all(seen, follow([Look(HEADS[0], "own", "prompt")]))
    measures = alignment_measures(rows)
    assert {estimate.n for estimate in measures.values()} == {5}
    assert measures["accuracy"].value == 1
    assert measures["milliseconds off"].value == 0
    assert measures["monotone steps"].value == 1


def test_a_gain_is_paired():
    seen = attentions({HEADS[0]: ("own", "prompt", 0)})
    ours, theirs = score_all(seen, follow([Look(HEADS[0], "own", "prompt")])), score_all(seen, any_word())
    accuracies = [alignment_measures(rows)["accuracy"].value for rows in (ours, theirs)]
    gain = accuracy_gain(ours, theirs)
    assert gain.value == pytest.approx(accuracies[0] - accuracies[1])
    assert gain.low > 0
    with pytest.raises(ValueError, match="same utterances"):
        accuracy_gain(ours, theirs[::-1])


# Monotone paths


@given(seed=st.integers(0, 99), audio=st.integers(1, 6), words=st.integers(1, 4))
def test_the_monotone_path_is_the_best_of_all(seed, audio, words):
    weights = np.random.default_rng(seed).dirichlet(np.ones(words), size=audio)
    last = min(audio, words) - 1
    paths = [[0]]
    for _ in range(audio - 1):
        paths = [[*path, word] for path in paths for word in (path[-1], path[-1] + 1) if word < words]

    def product_of(path):
        return np.log(weights[np.arange(audio), path] + 0.01).sum()

    best = max((path for path in paths if path[-1] == last), key=product_of)
    assert product_of(monotone_path(weights)) == pytest.approx(product_of(best))


def test_a_monotone_path_heals_stray_rows():
    seen = attentions({HEADS[0]: ("own", "prompt", 0)})
    strayed = []
    for one in seen:
        weights = one.weights.copy()
        weights[0, 1, 0, ::5] = 0
        weights[0, 1, 0, ::5, -1] = 1
        strayed.append(replace(one, weights=weights))
    looks = [Look(HEADS[0], "own", "prompt")]
    stray = alignment_measures(score_all(strayed, follow(looks)))
    healed = alignment_measures(score_all(strayed, follow_monotone(looks)))
    assert healed["monotone steps"].value == 1 > stray["monotone steps"].value
    assert healed["accuracy"].value > stray["accuracy"].value + 0.1


# Baselines


def test_a_word_at_random_is_right_as_often_as_there_are_words():
    seen = attentions({}, 24)
    chance = np.average(
        [1 / len(each.script.words) for each in seen], weights=[len(each.script.audio) for each in seen]
    )
    found = alignment_measures(score_all(seen, any_word(3)))["accuracy"]
    assert found.low < chance < found.high
    assert score_all(seen, any_word(3)) == score_all(seen, any_word(3))


def test_the_previous_word_is_the_last_one_written():
    one = attentions({}, 1)[0]
    found = previous_word(one)
    for place, position in enumerate(one.script.audio):
        written = [word for word, span in enumerate(one.script.written) if span and span[0] < position]
        assert found[place] == max(written, default=0)
    later = replace(one.script, written=tuple((1000 + word,) for word in range(len(one.script.words))))
    assert not previous_word(replace(one, script=later)).any()


def test_the_truth_told_late_errs_once_a_word():
    seen = attentions({})
    assert alignment_measures(score_all(seen, truth_late(0)))["accuracy"].value == 1
    small = replace(seen[0], script=replace(seen[0].script, sounding=(None, 0, 0, None, 1, 1, 2, None)))
    assert truth_late(1)(small).tolist() == [0, 0, 0, 0, 0, 1, 1, 2]
    assert truth_late(-1)(small).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_the_line_on_a_small_case():
    one = attentions({}, 1)[0]
    small = replace(one, script=replace(one.script, words=("ab", "abcdef"), audio=tuple(range(8))))
    assert Line("words")(small).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert Line("characters")(small).tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    assert Line("words", lead=2)(small).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert Line("words", tail=4)(small).tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


@given(lead=st.integers(0, 40), tail=st.integers(0, 40), unit=st.sampled_from(["words", "characters"]))
def test_the_line_stays_inside_the_sentence_and_goes_on(lead, tail, unit):
    one = attentions({}, 1)[0]
    words = Line(unit, lead, tail)(one)
    assert len(words) == len(one.script.audio)
    assert words.min() >= 0
    assert words.max() < len(one.script.words)
    assert (np.diff(words) >= 0).all()


def test_the_line_is_as_strong_as_units_and_edges_make_it():
    seen = attentions({}, 12)
    best = alignment_measures(score_all(seen, choose_line(seen)))["accuracy"].value
    for line in (Line("words"), Line("characters"), Line("characters", 1, 2)):
        assert alignment_measures(score_all(seen, line))["accuracy"].value <= best


@pytest.mark.parametrize("settings", [("letters",), ("words", -1), ("words", 0, -2)])
def test_a_line_that_cannot_be_drawn_is_refused(settings):
    with pytest.raises(ValueError, match="a line goes by"):
        Line(*settings)


def test_the_mean_of_all_heads_has_every_head_and_is_read_as_suits_it_best():
    seen = attentions(dict.fromkeys(HEADS, ("own", "answer", 0)))
    looks, window = choose_mean_of_all(seen)
    assert [look.head for look in looks] == list(HEADS)
    assert {(look.row, look.offset, look.lag) for look in looks} == {("own", 0, 0)}
    assert window in WINDOWS


# Bad input


def test_nothing_to_choose_from_is_refused():
    seen = attentions({}, 2)
    with pytest.raises(ValueError, match="at least one utterance"):
        rank_looks([])
    with pytest.raises(ValueError, match="the same heads"):
        rank_looks([seen[0], replace(seen[1], heads=HEADS[::-1])])
    with pytest.raises(ValueError, match="at least one look"):
        word_weights(seen[0], [])
    for window in (0, 2):
        with pytest.raises(ValueError, match=f"1, 3, 5 ..., not {window}"):
            word_weights(seen[0], [Look(HEADS[0], "own", "both")], window)
    with pytest.raises(ValueError, match="was not looked at"):
        word_weights(seen[0], [Look(Head("backbone.9", 0), "own", "both")])
    assert {each.look.offset for each in rank_looks(seen)} <= set(OFFSETS)
    assert {each.look.lag for each in rank_looks(seen)} <= set(LAGS)
