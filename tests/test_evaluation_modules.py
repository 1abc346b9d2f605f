"""Teacher-forced accuracies count what each stage of the model would have said next, audio alone."""

import pytest
import torch
from speech import corpus, recorder, speech_model, system, tokenizer

from labkit.evaluation.modules import ForcedRow, evaluate_modules, module_measures
from labkit.interleave import BALANCE, BOOST, interleave
from labkit.model.losses import speech_losses
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import text_to_speech

V = Chat(tokenizer()).vocabulary
MODULES = 2


@pytest.fixture(scope="module")
def utterances():
    return [corpus()[index] for index in (0, 5, 9, 20, 30)]


def encoded(utterance, mode):
    chat = Chat(tokenizer(), lambda text, audio: interleave(text, audio, mode, V))
    codes = recorder().encode(utterance.waveform, 16_000).tolist()
    return chat.encode(text_to_speech(utterance.text, answer=True), [codes]).input_ids


def fresh_model():
    return speech_model(MODULES, seed=1, initializer_range=0.02, hidden_size=64)


@pytest.fixture(scope="module")
def taught(utterances):
    """A model that has nearly learned the first two sentences by heart, in Boost."""
    model = fresh_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        for utterance in utterances[:2]:
            ids = torch.tensor([encoded(utterance, BOOST)])
            speech_losses(model, ids, ids).total.backward()
            optimizer.step()
            optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("mode", [BOOST, BALANCE], ids=lambda mode: mode.name)
@torch.no_grad()
def test_each_stage_is_counted_by_hand(taught, utterances, mode):
    rows = evaluate_modules(system(taught, batch=2), utterances, mode, progress=False)
    assert [row.utterance for row in rows] == [each.index for each in utterances]
    for utterance, row in zip(utterances, rows, strict=True):
        ids = encoded(utterance, mode)
        columns = [column for column, token in enumerate(ids) if V.is_audio(token)]
        assert row.targets == len(columns)
        for stage, hidden in enumerate(taught(torch.tensor([ids])).stages):
            # The row at column c - 1 predicts column c, and a stage's first row stands at column `stage`.
            logits = taught.head(hidden[0])[[column - 1 - stage for column in columns]]
            wanted = torch.tensor(ids)[columns]
            assert row.correct[stage] == int((logits.argmax(-1) == wanted).sum())
            nats = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
            assert row.nats[stage] == pytest.approx(nats, rel=1e-4)
    assert min(rows[0].correct) > 0, "or nothing was counted"


def test_a_model_that_was_taught_predicts_and_one_that_was_not_does_not(taught, utterances):
    before, after = (
        module_measures(evaluate_modules(system(model), utterances[:2], BOOST, progress=False))
        for model in (fresh_model(), taught)
    )
    for name in ("backbone", "module 0", "module 1"):
        assert before[f"{name} accuracy"].value < 0.1 < 0.8 < after[f"{name} accuracy"].value
        assert after[f"{name} perplexity"].value < 5 < 1000 < before[f"{name} perplexity"].value


def test_what_rows_add_up_to():
    rows = [ForcedRow(0, 10, (8, 6), (1.0, 2.0)), ForcedRow(1, 30, (30, 20), (3.0, 2.0))] * 5
    measures = module_measures(rows)
    assert measures["backbone accuracy"].value == pytest.approx(38 / 40)
    assert measures["module 0 accuracy relative to the backbone's"].value == pytest.approx(26 / 38)
    assert measures["backbone perplexity"].value == pytest.approx(torch.tensor(4 / 40).exp().item())
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in measures.values())
    assert "module 0 accuracy relative to the backbone's" not in module_measures(
        [ForcedRow(0, 10, (0, 6), (1.0, 2.0))] * 2
    ), "nothing is relative to a backbone that is never right"
