"""The linear probe of the reading: it finds what is there, nothing where nothing is, and looks at the right place."""

import pytest
import torch
from contrasts import probes, random_system

from labkit.interleave import BOOST
from labkit.study.reading_probe import (
    answer_states,
    by_layer,
    chain_states,
    probe,
    probe_readings,
    prompt_states,
)
from labkit.study.script import script


class Homograph:
    def __init__(self, reading):
        self.reading, self.index = reading, 0


class Sentence:
    """As much of a sentence as the probe itself looks at."""

    def __init__(self, word, reading):
        self.words, self.text, self.language = (word,), word, "en"
        self.homograph = Homograph(reading)


def sentences(count, words=("lead", "bass")):
    return [
        Sentence(words[i % len(words)], f"{words[i % len(words)]}/{'ab'[i // len(words) % 2]}")
        for i in range(count)
    ]


def told(train, test):
    """Rows from two layers: noise in the first; in the second noise, with the reading written along one direction."""

    def states(given):
        generator = torch.Generator().manual_seed(len(given))
        made = torch.randn(len(given), 2, 16, generator=generator)
        signs = torch.tensor([1.0 if each.homograph.reading.endswith("a") else -1.0 for each in given])
        made[:, 1, 3] += 6 * signs
        return made

    return probe(states(train), train, states(test), test)


def test_a_reading_that_is_there_is_found_and_one_that_is_not_is_chance():
    noise, there = by_layer(told(sentences(120), sentences(200)))
    assert there.value > 0.95
    assert noise.low < 0.5 < noise.high
    assert there.n == noise.n == 200


def test_homographs_met_in_one_reading_only_are_left_out():
    train = [each for each in sentences(120) if each.homograph.reading != "lead/b"]
    rows = told(train, sentences(200))
    assert len(rows) == 100
    assert {row.homograph for row in rows} == {"bass"}
    with pytest.raises(ValueError, match="no homograph of the test sentences is met in both readings"):
        told(sentences(10, ["wind"]), sentences(10))
    with pytest.raises(ValueError, match="no sentence that a probe was asked about"):
        by_layer([])


def test_a_sentence_without_a_homograph_is_refused():
    plain = Sentence("tree", "")
    plain.homograph = None
    with pytest.raises(ValueError, match="there is no homograph in 'tree'"):
        probe(torch.randn(1, 2, 16), [plain], torch.randn(2, 2, 16), sentences(2))


@torch.no_grad()
@pytest.mark.parametrize("copy", ["prompt", "answer"])
def test_states_are_those_of_the_homographs_last_token_in_either_copy(copy):
    system = random_system()
    utterances = [pair[0] for pair in probes()]
    if copy == "prompt":
        states = prompt_states(system, [each.sentence for each in utterances], progress=False)
    else:
        states = answer_states(system, utterances, BOOST, progress=False)
    for each, layers in zip(utterances, states, strict=True):
        laid = script(system, each, BOOST)
        place = (laid.asked if copy == "prompt" else laid.written)[each.homograph.index][-1]
        with system.model.traced([f"backbone.{i}.resid_post" for i in range(len(layers))]) as trace:
            system.model(torch.tensor([laid.ids]), modules=0)
        for i, layer in enumerate(layers):
            torch.testing.assert_close(
                layer, trace[f"backbone.{i}.resid_post"][0, place], atol=1e-5, rtol=1e-4
            )


@torch.no_grad()
def test_states_of_the_chain_are_those_of_the_homographs_last_token_in_the_prompt():
    system = random_system()
    utterances = [pair[0] for pair in probes()]
    states = chain_states(system, [each.sentence for each in utterances], progress=False)
    assert states.shape[1] == 1 + system.model.num_modules
    for each, stages in zip(utterances, states, strict=True):
        laid = script(system, each, BOOST)
        place = laid.asked[each.homograph.index][-1]
        output = system.model(torch.tensor([laid.ids]))
        for stage, state in enumerate(stages):
            torch.testing.assert_close(state, output.stages[stage][0, place - stage], atol=1e-5, rtol=1e-4)


def test_both_readings_of_utterances_are_probed_in_the_answer():
    pairs = probes()
    train = [each for pair in pairs for each in pair]
    estimates = probe_readings(random_system(), train, train, BOOST, progress=False)
    assert len(estimates) == random_system().model.config.num_hidden_layers
    assert estimates[0].n == len(train)
