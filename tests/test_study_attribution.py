"""Attributions add up, and agree with what loops without captum find."""

from dataclasses import replace

import pytest
import torch
from contrasts import contrasts, random_system

from labkit.interleave import parse
from labkit.model import Knockout, tokens_at
from labkit.study import attribution as room
from labkit.study.attribution import (
    Completeness,
    WordRow,
    ablate_words,
    attribute_words,
    completeness,
    cut_words,
    integrated_gradients,
    rank_agreement,
)
from labkit.study.contrast import log_odds

TWO = parse("1 2", content=[1, 10, 4, 10])
BASELINE = 40


def with_ids(contrast, changed):
    """The contrast with other ids before the parting token."""
    return replace(contrast, ids=tuple(changed))


def neutral(contrast, words):
    ids = list(contrast.ids)
    for word in words:
        for position in contrast.script.of_word(word):
            if position < len(ids):
                ids[position] = BASELINE
    return with_ids(contrast, ids)


@pytest.mark.parametrize("found", [contrasts, lambda: contrasts(TWO)], ids=["backbone", "chain"])
def test_integrated_gradients_add_up(found):
    for each in found().kept[-1:]:
        words, check = integrated_gradients(random_system(), each, BASELINE)
        assert len(words) == len(each.script.words)
        everything = range(len(words))
        change = log_odds(random_system(), [each]) - log_odds(random_system(), [neutral(each, everything)])
        assert check.change == pytest.approx(float(change), abs=1e-3)
        assert abs(check.error) <= 0.0101 * abs(check.change)
        assert sum(words) == pytest.approx(check.change + check.error, abs=1e-3)


@pytest.mark.parametrize(("steps", "is_enough"), [(2048, True), (64, False)])
def test_integrated_gradients_find_jumps_or_say_that_they_did_not(monkeypatch, steps, is_enough):
    """Log-odds that jump twice on the line, each time within less than a thousandth of it."""
    system, each = random_system(), contrasts().kept[0]
    first = each.script.text[0]
    none, text = (system.model.embed(torch.tensor(token)).detach() for token in (BASELINE, each.ids[first]))
    forward = type(system.model).forward
    read = []

    def reading(self, **given):
        read.append(given["embeds"])
        return forward(self, **given)

    def jumping(*_):
        place = (read[-1][:, first] - none) @ (text - none) / (text - none).square().sum()
        return torch.sigmoid(20_000 * (place - 0.3337)) + 2 * torch.sigmoid(20_000 * (place - 0.7777))

    monkeypatch.setattr(type(system.model), "forward", reading)
    monkeypatch.setattr(room, "weigh", jumping)
    words, check = integrated_gradients(system, each, BASELINE, steps=steps)
    assert check.change == pytest.approx(3, abs=1e-3)
    assert (abs(check.error) <= 0.0101 * 3) == is_enough
    assert words[0] == pytest.approx(check.change + check.error, abs=1e-3), "it is the first word's doing"


def test_feature_ablation_is_a_slow_loop():
    each = contrasts().kept[0]
    plain = float(log_odds(random_system(), [each]))
    slow = [
        plain - float(log_odds(random_system(), [neutral(each, [word])]))
        for word in range(len(each.script.words))
    ]
    for batch in (1, 3, 64):
        assert ablate_words(replace(random_system(), batch=batch), each, BASELINE) == pytest.approx(
            slow, abs=1e-4
        )


def test_cut_words_are_knockouts_one_by_one():
    found = contrasts().kept[:3]
    effects = cut_words(replace(random_system(), batch=5), found)
    for each, own in zip(found, effects, strict=True):
        for word, effect in enumerate(own):
            keys = [position for position in each.script.of_word(word) if position < len(each.ids)]
            with random_system().model.knocked_out([Knockout(tokens_at(*each.rows), tokens_at(*keys))]):
                cut = float(log_odds(random_system(), [each]))
            assert float(log_odds(random_system(), [each])) - cut == pytest.approx(effect, abs=1e-4)


def test_all_words_are_asked_about():
    found = contrasts().kept[:2]
    rows, sums = attribute_words(random_system(), found, BASELINE, tolerance=0.1, progress=False)
    assert [row.text for row in rows] == [word for each in found for word in each.script.words]
    assert [sum(row.role == "homograph" for row in rows), len(sums)] == [2, 2]
    assert not torch.is_inference(random_system().model.backbone.lm_head.weight)


def test_completeness_and_agreement_by_hand():
    assert completeness([Completeness(0, 2.0, 0.02), Completeness(1, -6.0, -0.06)]).value == pytest.approx(
        0.01
    )
    rows = [
        WordRow(utterance, word, "x", "other", float(word), float(-word), float(word**2))
        for utterance in (0, 1, 2)
        for word in range(4)
    ]
    assert rank_agreement(rows, "integrated", "cut").value == pytest.approx(1)
    assert rank_agreement(rows, "ablated", "cut").value == pytest.approx(-1)
    level = [replace(row, cut=0.0) if row.utterance else row for row in rows]
    with pytest.raises(ValueError, match="two or more"):
        rank_agreement(level, "integrated", "cut")


def test_errors():
    each = contrasts().kept[0]
    with pytest.raises(ValueError, match="no id of the tokenizer"):
        ablate_words(random_system(), each, -1)
    for unusable in ({"steps": 0}, {"tolerance": 0.0}):
        with pytest.raises(ValueError, match="must be positive"):
            integrated_gradients(random_system(), each, BASELINE, **unusable)
    with pytest.raises(ValueError, match="no method"):
        rank_agreement([], "integrated", "cutting")
