"""The release's codec at tiny random sizes: encoding by pieces, and streams that lose nothing."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from releases import codec, noise, tokens

from labkit.audio.codec import TokenError, WeightsError
from labkit.audio.glm4_voice.codec import GLM4VoiceCodec, GLM4VoiceTokenizer, generators
from labkit.audio.glm4_voice.flow import frame_count
from labkit.audio.glm4_voice.public_streams import FADE, OVERLAP, BlockStream, PrefixStream, SeededDraws
from labkit.audio.glm4_voice.streaming import FlowStream, VocoderStream, faded, frame_noise
from labkit.audio.io import AudioInputError

CHUNKS = st.lists(st.integers(1, 20), min_size=1, max_size=5)


def spoken(stream, chunks) -> list[torch.Tensor]:
    return [*(stream.push(chunk) for chunk in chunks), stream.finish()]


# Encoding


@pytest.mark.parametrize("samples", [1, 1279, 1280, 1281, 20000])
def test_a_token_for_every_80_ms_begun(samples: int) -> None:
    assert len(codec().encode(noise(2)[:samples], 16000)) == -(-samples // 1280)


def test_the_first_channel_is_heard() -> None:
    left, right = noise(1), noise(1, seed=1)
    assert torch.equal(codec().encode(torch.stack([left, right]), 16000), codec().encode(left, 16000))


def test_audio_is_cut_every_30_seconds() -> None:
    """As the release does it: pieces know nothing of each other, and the last one is as short as it is."""
    sound = noise(31.5)
    first, second = (codec().encode(piece, 16000) for piece in sound.split(480000))
    together = codec().encode(sound, 16000)
    assert len(together) == 375 + 19
    assert torch.equal(together[:375], first)
    assert torch.equal(together[375:-1], second[:-1])  # the very last window sees the padding behind it


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_any_usual_rate(rate: int) -> None:
    assert len(codec().encode(noise(1, rate), rate)) == 13


@pytest.mark.parametrize("bad", [[], [float("nan")] * 2000, torch.zeros(2, 2, 2), "speech"])
def test_what_is_no_audio_is_refused(bad: object) -> None:
    with pytest.raises(AudioInputError):
        codec().encode(bad, 16000)
    with pytest.raises(AudioInputError, match="no common factor"):
        codec().encode(noise(1), 44101)


# Decoding


@pytest.mark.parametrize("count", [1, 5, 16, 64, 77])
def test_whole_decoding_has_441_frames_for_64_tokens(count: int) -> None:
    assert len(codec().decode(tokens(count), 1)) == 256 * (count * 441 // 64)


def test_the_same_seed_gives_the_same_sound_and_the_global_one_is_left_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (codec().decode(tokens(9), 2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_no_dropout_and_no_training_mode() -> None:
    decoder = codec().decoder
    assert not any(
        module.training for network in (decoder.flow, decoder.hift) for module in network.modules()
    )


@settings(max_examples=8, deadline=None)
@given(CHUNKS, st.sampled_from([0, 7, 34]))
def test_a_stream_loses_no_frame_however_it_is_cut(chunks: list[int], overlap: int) -> None:
    ids = tokens(sum(chunks))
    pieces = spoken(codec().stream(1, overlap=overlap), ids.split(chunks))
    assert sum(map(len, pieces)) == len(codec().decode(ids, 1))


@pytest.mark.parametrize("overlap", [0, 34])
def test_a_stream_of_one_chunk_is_whole_decoding(overlap: int) -> None:
    exact = codec(torch.float64)
    ids = tokens(40)
    streamed = torch.cat(spoken(exact.stream(3, overlap=overlap), [ids]))
    assert (streamed - exact.decode(ids, 3)).abs().max() < 1e-6


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_the_vocoders_stream_equals_one_vocoding(cuts: list[int]) -> None:
    decoder = codec(torch.float64).decoder
    mel = torch.randn(1, 80, sum(cuts), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    stream = VocoderStream(decoder.hift, generators(5)[1])
    with torch.inference_mode():
        pieces = [stream.push(piece) for piece in mel.split(cuts, dim=-1)]
        pieces.append(stream.push(mel[..., :0], final=True))
    assert (torch.cat(pieces).float() - decoder.vocode(mel, 5)).abs().max() < 1e-6


def test_the_vocoder_reaches_no_further_than_it_says() -> None:
    hift = codec(torch.float64).decoder.hift
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, 80, 60, generator=generator, dtype=torch.float64)
    source = torch.randn(1, 1, 60 * 256, generator=generator, dtype=torch.float64) * 0.1
    reach = hift.config.reach
    for changed in (mel, source):
        before = hift(mel, source)
        kept, step = changed.clone(), changed.shape[-1] // 60
        changed[..., 30 * step : 31 * step] += 0.5
        moved = (hift(mel, source) != before)[0].unflatten(0, (60, 256)).any(1).nonzero().flatten()
        changed.copy_(kept)
        assert 30 - reach <= moved.min()
        assert moved.max() <= 30 + reach


def test_the_first_sound_comes_with_the_first_chunk() -> None:
    stream = codec().stream()
    assert len(stream.push(tokens(8))) == 256 * (frame_count(8) - 34)
    early = codec().stream(overlap=0)
    assert len(early.push(tokens(8))) == 256 * (frame_count(8) - codec().decoder.hift.config.look_ahead)


def test_steps_grow_from_chunk_to_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    flow = codec().decoder.flow
    whole = flow.integrate
    monkeypatch.setattr(flow, "integrate", lambda *a: taken.append(a[-1]) or whole(*a))
    stream = codec().stream((1, 3, 5))
    spoken(stream, [tokens(8), tokens(0), *tokens(32).split(8)])
    assert taken == [1, 3, 5, 5, 5]


def test_the_flows_window_is_bounded_and_its_frames_stay_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    flow = codec().decoder.flow
    mu = flow.mu
    monkeypatch.setattr(
        flow, "mu", lambda ids, frames: seen.append((ids.shape[1], frames)) or mu(ids, frames)
    )
    stream = FlowStream(flow, torch.Generator().manual_seed(0), context=20)
    with torch.inference_mode():
        made = [stream.push(chunk, 1).shape[-1] for chunk in tokens(200).split(8)]
    assert sum(made) + stream.waiting.shape[-1] == frame_count(200)
    assert max(count for count, _ in seen) <= 20 + 10 + 8
    assert all(abs(frames - count * 441 / 64) < 1 for count, frames in seen)


def test_noise_belongs_to_a_frame_and_frames_settle_once() -> None:
    """The first chunk's frames are those of whole decoding its tokens, with the same seed; later ones leave them be."""
    flow = codec().decoder.flow
    ids = tokens(30)
    with torch.inference_mode():
        alone = FlowStream(flow, torch.Generator().manual_seed(2), overlap=0).push(ids[:12], 2)
        cut = FlowStream(flow, torch.Generator().manual_seed(2), overlap=0)
        first, second = cut.push(ids[:12], 2), cut.push(ids[12:], 2)
    assert torch.equal(first, alone)
    assert second.shape[-1] == frame_count(30) - frame_count(12)


def test_the_labs_fade_sums_to_one_and_the_public_one_does_not() -> None:
    ones = torch.ones(1, 80, 34)
    assert torch.allclose(faded(ones, torch.ones(1, 80, 50)), torch.ones(1, 80, 50))
    assert (FADE[:OVERLAP] + FADE[OVERLAP:]).max() == pytest.approx(1.08, abs=1e-3)


def test_the_public_recipes_keep_their_faults() -> None:
    """A frame lost at each boundary after the first, a swallowed tail; everything decoded again, a skipped end."""
    decoder = codec().decoder
    ids = tokens(30)
    blocks = BlockStream(decoder.flow, decoder.hift, 1)
    heard = [blocks.call(ids[:10]), blocks.call(ids[10:20]), blocks.call(ids[20:], final=True)]
    assert sum(len(call.wave) for call in heard) == 256 * (frame_count(30) - 1)
    unfinished = BlockStream(decoder.flow, decoder.hift, 1)
    assert sum(map(len, spoken(unfinished, ids.split(10)))) < 256 * (frame_count(30) - OVERLAP)
    with pytest.raises(ValueError, match="6 tokens"):
        BlockStream(decoder.flow, decoder.hift, 1).push(ids[:5])
    prefixes = PrefixStream(decoder.flow, decoder.hift)
    pieces = [len(piece) // 256 for piece in spoken(prefixes, ids.split([4, 17, 9]))]
    assert pieces == [frame_count(4), frame_count(21) - frame_count(4), 0, 0]


# Bad input


def test_bad_tokens_and_steps_are_refused() -> None:
    with pytest.raises(TokenError, match=r"token 64 at position 1 is outside this codec's 0\.\.63"):
        codec().decode([3, 64])
    with pytest.raises(ValueError, match="Euler steps"):
        codec().decode([3], 0)
    with pytest.raises(ValueError, match="at least one number"):
        codec().stream(())
    with pytest.raises(ValueError, match="must not be negative"):
        codec().stream(overlap=-1)
    stream = codec().stream(1)
    assert len(stream.finish()) == 0
    with pytest.raises(RuntimeError, match="finished"):
        stream.push([1])
    assert len(codec().decode([])) == 0


def test_parts_that_do_not_belong_together_are_refused() -> None:
    tokenizer = GLM4VoiceTokenizer.load(Path(__file__).parent / "golden_audio" / "whisper_vq", tell=None)
    with pytest.raises(WeightsError, match="has 96 codes, the decoder 64"):
        GLM4VoiceCodec(tokenizer, codec().decoder)


def test_the_labs_streaming_stays_near_whole_decoding_where_the_public_recipe_does_not() -> None:
    """Mean distance of mel frames from whole decoding; the recipe's is that of another seed, and it lost frames."""
    decoder, ids = codec().decoder, tokens(56)
    flow, frames, cuts = decoder.flow, frame_count(56), [8, 16, 16, 16]

    def distance(made: torch.Tensor, whole: torch.Tensor) -> float:
        return (made - whole[..., : made.shape[-1]]).abs().mean().item()

    with torch.inference_mode():
        whole, other = (
            flow(ids[None], frame_noise(frames, 80, torch.Generator().manual_seed(seed)), 5)
            for seed in (7, 8)
        )
        stream = FlowStream(flow, torch.Generator().manual_seed(7))
        ours = torch.cat([*(stream.push(chunk, 5) for chunk in ids.split(cuts)), stream.finish()], dim=-1)
        public = flow(ids[None], SeededDraws(flow, decoder.hift).start(frames), 5)
        recipe = BlockStream(flow, decoder.hift, 5)
        calls = [recipe.call(chunk, final=number == 3) for number, chunk in enumerate(ids.split(cuts))]
        theirs = torch.cat([calls[0].vocoded, *(call.vocoded[..., 1:] for call in calls[1:])], dim=-1)
    assert ours.shape == whole.shape
    assert theirs.shape[-1] == frames - 2
    assert distance(ours, whole) < 0.3 * distance(other, whole)
    assert distance(theirs, public) > 0.9 * distance(other, whole)
