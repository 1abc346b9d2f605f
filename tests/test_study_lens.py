"""What each layer and each module would say: at the last layer, what the model says."""

from dataclasses import replace

import pytest
import torch
from contrasts import MODULES, contrasts, random_system
from speech import corpus

from labkit.interleave import BOOST, VANILLA, parse
from labkit.model import SpeechLM
from labkit.model.mctp import MCTPChain
from labkit.study.contrast import log_odds
from labkit.study.drift import DriftRow, chain_drift, drift_measures
from labkit.study.layer_knockouts import CutRow, cut_layers, knockout_curves, lost, lost_besides, undecided
from labkit.study.lens import layer_speech, logit_lens, look_through
from labkit.study.script import script
from labkit.study.skipping import skipping

LAYERS = 3


@torch.no_grad()
def test_the_last_layer_is_the_model():
    system, found = random_system(), contrasts().kept
    model, vocabulary = system.model, system.vocabulary
    rows = logit_lens(system, found, progress=False)
    assert [row.layer for row in rows] == list(range(LAYERS)) * len(found)
    last = [row for row in rows if row.layer == LAYERS - 1]
    weighed = log_odds(system, found).tolist()
    assert [row.log_odds for row in last] == pytest.approx(weighed, abs=1e-3)
    for each, row in zip(found, last, strict=True):
        logits = model.head(model(torch.tensor([each.ids]), modules=0).stages[0])[0, -1]
        shares = logits.softmax(-1)
        ids = torch.arange(len(logits))
        assert row.text == pytest.approx(float(shares[vocabulary.is_text(ids)].sum()), abs=1e-4)
        assert row.audio == pytest.approx(float(shares[vocabulary.is_audio(ids)].sum()), abs=1e-4)
        assert row.text + row.audio + row.tags == pytest.approx(1)
        assert row.rank == 0  # it was chosen greedily
        assert vocabulary.audio_id(row.top) == each.tokens[0]


@torch.no_grad()
def test_a_layer_is_read_as_if_it_were_the_last():
    system, found = random_system(), contrasts().kept[:2]
    rows = [row for row in logit_lens(system, found, swapped=True, progress=False) if row.layer == 0]
    for each, row in zip(found, rows, strict=True):
        with system.model.traced(["backbone.0.resid_post"]) as trace:
            system.model(torch.tensor([each.swapped_ids]), modules=0)
        logits = look_through(system.model, trace["backbone.0.resid_post"][0, -1])
        own, other = (float(logits[token]) for token in each.tokens)
        assert row.log_odds == pytest.approx(own - other, abs=1e-4)


def test_lens_in_batches_is_the_lens_one_by_one():
    found = contrasts().kept
    together = logit_lens(random_system(), found, progress=False)
    singly = logit_lens(replace(random_system(), batch=1), found, progress=False)
    assert [row.log_odds for row in together] == pytest.approx([row.log_odds for row in singly], abs=1e-4)


def test_the_last_layer_says_what_the_model_said():
    found = contrasts().kept
    for each, layers in zip(found, layer_speech(random_system(), found), strict=True):
        assert len(layers) == LAYERS
        assert all(len(said) == len(each.span) for said in layers)
        assert layers[-1] == each.said


def test_a_lens_needs_the_backbones_own_tokens():
    two = contrasts(parse("1 2", content=[1, 10, 4, 10])).kept
    assert any(each.stage for each in two)
    with pytest.raises(ValueError, match="vanilla"):
        logit_lens(random_system(), two, progress=False)


def test_layers_of_a_cut():
    assert [list(cut_layers(side, 1, 4)) for side in ("from", "up to", "window")] == [
        [1, 2, 3],
        [0, 1],
        [0, 1, 2],
    ]
    assert list(cut_layers("window", 3, 4, 2)) == [1, 2, 3]
    with pytest.raises(ValueError, match="no side"):
        cut_layers("to", 1, 4)
    with pytest.raises(ValueError, match="no layer 4"):
        cut_layers("from", 4, 4)


def test_cutting_from_the_first_layer_on_is_cutting_up_to_the_last():
    found = contrasts().kept
    rows = knockout_curves(random_system(), found, width=LAYERS, progress=False)
    assert len(rows) == 3 * 3 * LAYERS * len(found)
    value = {(row.cut, row.side, row.layer, row.utterance): row.without for row in rows}
    for each in found:
        for word in ("homograph", "deciding word", "both"):
            whole = value[word, "from", 0, each.utterance.index]
            assert whole == pytest.approx(value[word, "up to", LAYERS - 1, each.utterance.index], abs=1e-4)
            assert whole == pytest.approx(value[word, "window", 0, each.utterance.index], abs=1e-4)
    assert any(abs(row.without - row.plain) > 1e-3 for row in rows)


def test_what_a_cut_loses():
    rows = [
        CutRow(n, "lead", "homograph", "from", 2, 2.0, -2.0, without) for n, without in enumerate((2.0, 0.0))
    ]
    assert lost(rows)["homograph", "from", 2].value == pytest.approx(0.25)
    assert undecided(rows)[:3] == pytest.approx((0.5, 0.5, 0.5)), "halfway from one reading to the other"


def test_what_one_cut_loses_besides_another():
    def cut(utterance, name, without, layer=0):
        return CutRow(utterance, "lead", name, "from", layer, 2.0, -2.0, without)

    rows = [cut(0, "homograph", 1.0), cut(0, "both", 0.0), cut(1, "homograph", -2.0), cut(1, "both", -2.0)]
    rows += [cut(2, "both", -2.0), cut(0, "both", -2.0, layer=1)]
    assert lost_besides(rows, "both", "homograph").value == pytest.approx(1 / 8), (
        "of two contrasts, at layer 0"
    )
    with pytest.raises(ValueError, match="'deciding word' cut from layer 0"):
        lost_besides(rows, "both", "deciding word")


def test_losses_vary_by_homograph_and_not_by_sentence():
    rows = [
        CutRow(10 * word + n, f"word {word}", cut, "from", 0, 1.0 + word, -1.0, float(word % 2))
        for word in range(6)
        for n in range(5)
        for cut in ("homograph", "both")
    ]
    found = lost(rows)["both", "from", 0]
    assert found.n == 6
    assert found.low < found.value < found.high
    assert undecided(rows).value == pytest.approx(
        sum(1 + word for word in range(6)) / sum(2 + word for word in range(6))
    )


@torch.no_grad()
def test_drift_by_hand():
    system = random_system()
    said = [corpus()[index] for index in (0, 7, 21)]
    rows = chain_drift(replace(system, batch=2), said, BOOST, [None, 1], progress=False)
    assert {(row.module, row.skipped) for row in rows} == {(0, None), (1, None), (1, 1)}
    for utterance in said:
        ids = torch.tensor(script(system, utterance, BOOST).ids)
        places = [p for p in range(MODULES + 1, len(ids)) if system.vocabulary.is_audio(int(ids[p]))]
        stages = system.model(ids[None]).stages
        backbone = system.model.head(stages[0][0])[[p - 1 for p in places]].log_softmax(-1)
        for module in range(MODULES):
            own = system.model.head(stages[module + 1][0])[[p - 2 - module for p in places]].log_softmax(-1)
            row = next(
                r for r in rows if (r.utterance, r.module, r.skipped) == (utterance.index, module, None)
            )
            assert row.targets == len(places)
            assert row.agreed == int((own.argmax(-1) == backbone.argmax(-1)).sum())
            assert row.right == int((own.argmax(-1) == ids[places]).sum())
            assert row.nats == pytest.approx(float((backbone.exp() * (backbone - own)).sum()), rel=1e-3)


@torch.no_grad()
def test_a_skipped_module_passes_on_what_it_joined():
    model = random_system().model
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with skipping(model, "module.0"):
        stages = model(ids, modules=1).stages
    embeds = model.embed(ids)
    joined = model.backbone.model.norm(model.chain[0].join(embeds[:, 1:], stages[0][:, :-1]))
    torch.testing.assert_close(stages[1], joined)


@torch.no_grad()
def test_a_skipped_layer_of_the_backbone_might_as_well_not_be_there():
    model = random_system().model
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with skipping(model, "backbone.2"):
        skipped = model(ids, modules=0).stages[0]
    with model.traced(["backbone.1.resid_post"]) as trace:
        whole = model(ids, modules=0).stages[0]
    torch.testing.assert_close(skipped, model.backbone.model.norm(trace["backbone.1.resid_post"]))
    assert not torch.allclose(skipped, whole)


def test_measures_of_drift():
    rows = [DriftRow(n, 0, None, 10, 5 * n, 2, 1.0) for n in (1, 2)]
    measures = drift_measures(rows)
    assert measures["agreement"][0].value == pytest.approx(0.75)
    assert measures["divergence"][0].value == pytest.approx(0.1)
    with pytest.raises(ValueError, match="skipped"):
        drift_measures(rows, 3)


def test_no_chain_no_drift():
    system = random_system()
    bare = replace(system, model=SpeechLM(system.model.backbone, MCTPChain(system.model.config, 0)))
    with pytest.raises(ValueError, match="stage 2"):
        chain_drift(bare, [corpus()[0]], VANILLA)
    with pytest.raises(ValueError, match=r"no hook point 'module\.2"), skipping(system.model, "module.2"):
        pass
