"""What the listener hears is what the codec says, whether all at once or as tokens come."""

import pytest
import torch

from labkit.audio.codec import STREAMING_STEPS
from labkit.audio.toy import ToyCodec
from labkit.evaluation import listener as room
from labkit.evaluation.listener import CHUNK, Listener

CODEC = ToyCodec.load()
CODES = torch.randint(0, CODEC.size, (3 * CHUNK + 4,), generator=torch.Generator().manual_seed(0)).tolist()


def test_nothing_said_is_no_sound():
    for streaming in (False, True):
        assert Listener(CODEC, None, streaming=streaming).speak([]) is None


def test_streaming_in_equal_steps_is_decoding(monkeypatch):
    monkeypatch.setattr(room, "STREAMING_STEPS", (3,))
    streamed, whole = (Listener(CODEC, None, 3, streaming=each).speak(CODES) for each in (True, False))
    assert len(streamed) == len(whole)
    assert torch.allclose(streamed, whole, atol=2e-3)


@pytest.mark.parametrize("count", [1, CHUNK, len(CODES)])
def test_streaming_takes_its_steps_chunk_by_chunk(count):
    expected = CODEC.stream(STREAMING_STEPS)
    pieces = [expected.push(CODES[:count][start : start + CHUNK]) for start in range(0, count, CHUNK)]
    streamed = Listener(CODEC, None, 3, streaming=True).speak(CODES[:count])
    assert torch.equal(streamed, torch.cat([*pieces, expected.finish()]))
    assert len(streamed) == len(CODEC.decode(CODES[:count], 1))
