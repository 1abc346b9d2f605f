"""Attributions add up, and agree with what loops without captum find."""

from dataclasses import replace

import pytest
import torch
from contrasts import contrasts, random_system

from labkit.interleave import parse
from labkit.model import Knockout, tokens_at
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
        words, check = integrated_gradients(random_system(), each, BASELINE, steps=100)
        assert len(words) == len(each.script.words)
        everything = range(len(words))
        change = log_odds(random_system(), [each]) - log_odds(random_system(), [neutral(each, everything)])
        assert check.change == pytest.approx(float(change), abs=1e-3)
        assert abs(check.error) < 0.02 * max(1.0, abs(check.change))
        assert sum(words) == pytest.approx(check.change + check.error, abs=1e-3)


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
    rows, sums = attribute_words(random_system(), found, BASELINE, steps=4, progress=False)
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
    with pytest.raises(ValueError, match="at least one step"):
        integrated_gradients(random_system(), each, BASELINE, steps=0)
    with pytest.raises(ValueError, match="no method"):
        rank_agreement([], "integrated", "cutting")
