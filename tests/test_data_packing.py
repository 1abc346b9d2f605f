"""Packed rows hold every sample once, and train as their samples would alone."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_ids, tiny_model

from labkit.data.faults import Faults, SampleError
from labkit.data.packing import EncodedSample, PackedRow, collate, fill, pack
from labkit.model import speech_losses
from labkit.vocabulary import IGNORE

FILE = Path("tts-en.jsonl")
lengths = st.lists(st.integers(1, 20), max_size=60)


def sample(length: int, line: int, prompt: int = 0) -> EncodedSample:
    ids = np.array(random_ids(length, seed=line), np.int32)
    return EncodedSample(ids, np.where(np.arange(length) < prompt, IGNORE, ids), FILE, line)


def unpack(row: PackedRow) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of each sample of a row."""
    starts = [*np.flatnonzero(row.positions == 0), row.tokens]
    spans = [slice(start, stop) for start, stop in pairwise(starts)]
    return [(row.input_ids[span].tolist(), row.labels[span].tolist()) for span in spans]


@given(lengths, st.integers(1, 8))
def test_every_sample_is_in_one_row_whole(lengths, open_rows):
    samples = [sample(length, line, prompt=2) for line, length in enumerate(lengths)]
    rows = pack(samples, 20, open_rows=open_rows)
    found = [each for row in rows for each in unpack(row)]
    assert sorted(found) == sorted((each.input_ids.tolist(), each.labels.tolist()) for each in samples)
    assert sum(row.samples for row in rows) == len(samples)
    for row in rows:
        assert len(row.input_ids) == len(row.labels) == len(row.positions) == 20
        assert row.samples == len(unpack(row))
        assert (row.positions[row.tokens :] == -1).all()
        assert (row.labels[row.tokens :] == IGNORE).all()
        for start in np.flatnonzero(row.positions == 0):
            run = row.positions[start : row.tokens]
            assert run[0] == 0
            assert all(step in (1, -run[place]) for place, step in enumerate(np.diff(run)))


def test_rows_are_well_filled_in_the_same_way_each_time():
    rng = random.Random(0)
    samples = [sample(rng.randint(10, 200), line) for line in range(2000)]
    rows = pack(samples, 512)
    assert fill(rows) > 0.97
    again = pack(samples, 512)
    assert all((a.input_ids == b.input_ids).all() for a, b in zip(rows, again, strict=True))


def test_rows_keep_the_order_nearly():
    rows = pack([sample(100, line) for line in range(300)], 300, open_rows=4)
    firsts = [unpack(row)[0][0] for row in rows]
    assert firsts == [random_ids(100, seed=line) for line in range(0, 300, 3)]


def test_a_sample_longer_than_a_row_is_named():
    samples = [sample(5, 1), sample(11, 2), sample(6, 3)]
    with pytest.raises(SampleError, match=r"tts-en\.jsonl:2: too long: 11 tokens, a row has 10"):
        pack(samples, 10)
    faults = Faults("skip")
    rows = pack(samples, 10, faults=faults)
    pack(samples, 10, faults=faults)  # a second epoch meets the same sample
    assert sum(row.samples for row in rows) == 2
    assert faults.counts == {"too long": 1}
    assert "tts-en.jsonl:2" in str(faults)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        pack([], 0)
    with pytest.raises(ValueError, match="at least 1"):
        pack([], 10, open_rows=0)
    with pytest.raises(ValueError, match="'fail' or 'skip'"):
        Faults("warn")
    with pytest.raises(ValueError, match="at least one row"):
        collate([])
    with pytest.raises(ValueError, match="same length"):
        collate([*pack([sample(3, 0)], 10), *pack([sample(3, 0)], 11)])


def test_a_mask_comes_only_with_padding():
    batch = collate(pack([sample(10, 1), sample(6, 2), sample(4, 3)], 10, open_rows=2))
    assert set(batch) == {"input_ids", "labels", "positions"}
    assert all(tensor.shape == (2, 10) and tensor.dtype == torch.int64 for tensor in batch.values())
    batch = collate(pack([sample(10, 1), sample(6, 2)], 10))
    assert batch["attention_mask"].tolist() == [[1] * 10, [1] * 6 + [0] * 4]


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(1, 16), min_size=1, max_size=8),
    st.integers(0, 3),
    st.sampled_from([0, 3]),
    st.sampled_from(["eager", "sdpa"]),
)
def test_a_batch_of_packed_rows_trains_as_its_samples_alone(lengths, prompt, modules, attention):
    model = tiny_model(modules, attention)
    samples = [sample(length, line, prompt) for line, length in enumerate(lengths)]
    batch = collate(pack(samples, 24))
    targets = max(1, sum(int((each.labels[1:] != IGNORE).sum()) for each in samples))

    def losses(ids: torch.Tensor, labels: torch.Tensor, **geometry: torch.Tensor) -> list[torch.Tensor]:
        result = speech_losses(model, ids, labels, num_items=targets, **geometry)
        return [result.total, result.next_token, *result.modules]

    packed = losses(batch.pop("input_ids"), batch.pop("labels"), **batch)
    alone = [
        losses(*(torch.from_numpy(ids).long()[None] for ids in (each.input_ids, each.labels)))
        for each in samples
    ]
    for together, apart in zip(packed, zip(*alone, strict=True), strict=True):
        assert together.item() == pytest.approx(sum(loss.item() for loss in apart), abs=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_gradients_of_a_packed_row_are_those_of_its_samples(attention):
    samples = [sample(length, line, prompt=2) for line, length in enumerate((9, 14, 4))]
    model = tiny_model(2, attention)

    def gradient(ids: torch.Tensor, labels: torch.Tensor, **geometry: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        speech_losses(model, ids, labels, num_items=20, **geometry).total.backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    batch = collate(pack(samples, 32))
    packed = gradient(batch.pop("input_ids"), batch.pop("labels"), **batch)
    alone = sum(
        gradient(*(torch.from_numpy(ids).long()[None] for ids in (each.input_ids, each.labels)))
        for each in samples
    )
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)
