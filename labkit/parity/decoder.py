"""Replay recorded decodings stage by stage: flow, vocoder, and the two public streaming recipes.

Noise and phases are those of the recording.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from labkit.audio.flow import time_grid
from labkit.audio.glm4_voice.codec import empty_decoder
from labkit.audio.glm4_voice.decoder_config import CONFIG, Values, read_decoder_config
from labkit.audio.glm4_voice.flow import Flow, FlowConfig, frame_count
from labkit.audio.glm4_voice.hift import HiFT, HiFTConfig
from labkit.audio.glm4_voice.public_streams import PCM, BlockStream, Call, PrefixStream, SeededDraws, pcm
from labkit.checkpoints import CheckpointError
from labkit.parity.audio import AudioCase, load_into, near, near_on_average
from labkit.parity.cases import CaseError
from labkit.parity.checks import Check, equal

ENCODED, MEL = 2e-5, 1e-4
PITCH, SOURCE, LOUD_SOURCE = 1e-3, 5e-4, 3e-3
WAVE, LOUD_WAVE, WHOLE_WAVE = 1e-4, 5e-3, 5e-3
STREAMED, STREAMED_ON_AVERAGE = 1e-2, 1e-3
VELOCITY_TIME = 0.3


def flow_settings(values: dict[str, Any]) -> FlowConfig:
    """A recorded ``config.json`` of the flow, which lacks a level of the YAML's."""
    decoder = {**values["decoder"], "cfm_params": {"content": values["decoder"]["cfm_params"]}}
    return Values({"flow": {**values, "decoder": decoder}}).flow()


def vocoder_settings(values: dict[str, Any]) -> HiFTConfig:
    """A recorded ``config.json`` of the vocoder."""
    return Values({"hift": values.get("hift", values)}).hift()


def load_flow(case: AudioCase, folder: str = ".") -> Flow:
    """The flow of a case, or of one beside it.

    Raises:
        CaseError: its configuration cannot be read, or its weights do not fit.
    """
    beside = AudioCase(case.folder / folder, "flow", {}, {})
    try:
        flow, _ = empty_decoder(flow_settings(beside.settings()), HiFTConfig())
    except (OSError, KeyError, CheckpointError) as error:
        raise CaseError(f"{beside.folder}: cannot read config.json: {error}") from error
    return load_into(flow, beside.folder / "flow.safetensors")


def load_vocoder(case: AudioCase) -> HiFT:
    """The vocoder of a case.

    Raises:
        CaseError: its configuration cannot be read, or its weights do not fit.
    """
    try:
        _, hift = empty_decoder(FlowConfig(), vocoder_settings(case.settings()))
    except (OSError, CheckpointError) as error:
        raise CaseError(f"{case.folder}: cannot read config.json: {error}") from error
    return load_into(hift, case.folder / "hift.safetensors")


@torch.inference_mode()
def check_flow(case: AudioCase) -> Iterator[Check]:
    """From tokens to mel frames, at every recorded number of steps."""
    flow = load_flow(case)
    path = case.folder.parent / f"decoder_{CONFIG}"  # that of the case named flow
    if case.name == "flow" and path.is_file():
        yield Check(
            "configuration", "YAML read", "as config.json", read_decoder_config(path)[0] == flow.config
        )
    for recorded in case.recorded["cases"]:
        name = recorded["name"]

        def of(what: str, name: str = name) -> torch.Tensor:
            return case.tensor(f"{name}.{what}")

        tokens, noise, prompt = of("token").long(), of("noise"), None
        if f"{name}.prompt_token" in case.tensors:
            tokens = torch.cat([of("prompt_token").long(), tokens], dim=1)
            prompt = of("prompt_feat").transpose(1, 2)
        frames = frame_count(tokens.shape[1])
        yield equal(name, "frames", [frames], [noise.shape[-1]])
        encoded = flow.encoder(flow.input_embedding(tokens.clamp(min=0)))
        yield near(name, "encoder", encoded, of("encoder_out"), ENCODED)
        yield near(name, "encoder, projected", flow.encoder_proj(encoded), of("encoder_proj"), ENCODED)
        mu, speaker = flow.mu(tokens, frames), flow.speaker(of("embedding"))
        yield near(name, "mu", mu, of("mu"), ENCODED)
        yield near(name, "speaker", speaker, of("spk"), ENCODED)
        condition = torch.zeros_like(mu)
        if prompt is not None:
            condition[..., : prompt.shape[-1]] = prompt
        t = torch.tensor([VELOCITY_TIME])
        guided = flow.velocity(noise, t, mu, speaker, condition)
        free = flow.velocity(noise, t, *map(torch.zeros_like, (mu, speaker, condition)))
        yield near(name, "velocity", guided, of(f"v_cond_t{VELOCITY_TIME}"), ENCODED)
        yield near(name, "velocity, unguided", free, of(f"v_uncond_t{VELOCITY_TIME}"), ENCODED)
        for steps in recorded["steps"]:
            yield near(name, f"times, {steps} steps", time_grid(steps), of(f"t_span_steps{steps}"), 1e-6)
            mel = flow(tokens, noise, steps, prompt=prompt, embedding=of("embedding"))
            yield near(name, f"mel, {steps} steps", mel, of(f"mel_steps{steps}"), MEL)
        if recorded.get("cpu_seed42_reproduces_noise"):
            drawn = SeededDraws(flow, HiFT(HiFTConfig(channels=4, pitch_channels=1))).start(frames)
            yield near(name, "noise of the public seed", drawn, noise, 0.0)


@torch.inference_mode()
def check_vocoder(case: AudioCase) -> Iterator[Check]:
    """From mel frames to sound, each stage given the recorded one before it, then from end to end."""
    hift = load_vocoder(case)
    for recorded in case.recorded["cases"]:
        name = recorded["name"]

        def of(what: str, name: str = name) -> torch.Tensor:
            return case.tensor(f"{name}.{what}")

        loud = recorded.get("clamped_fraction", 0) > 0 or recorded.get("magnitude_clip_fraction", 0) > 0
        mel, pitch = of("mel"), hift.pitch(of("mel"))
        yield near(name, "pitch, Hz", pitch, of("f0"), PITCH)
        source, _ = hift.source(pitch, of("phase"), of("noise"))
        bound = LOUD_SOURCE if loud else SOURCE
        yield near(name, "source", source, of("source_before_cache"), bound)
        if f"{name}.cache_source" in case.tensors:
            kept = of("cache_source")
            source = torch.cat([kept, source[..., kept.shape[-1] :]], dim=-1)
        yield near(name, "source with what was kept", source, of("source"), bound)
        yield near(
            name,
            "wave of recorded source",
            hift(mel, of("source"))[0],
            of("wav")[0],
            LOUD_WAVE if loud else WAVE,
        )
        if not loud:  # there the way from mel to sound is too steep to be compared end to end
            yield near(name, "wave", hift(mel, source)[0], of("wav")[0], WHOLE_WAVE)


class RecordedDraws:
    """The random numbers of a recorded call; its source noise is zero."""

    def __init__(self, case: AudioCase, call: str, harmonics: int) -> None:
        self._case, self._call, self._harmonics = case, call, harmonics

    def start(self, frames: int) -> torch.Tensor:
        noise = self._case.tensor(f"{self._call}.z")
        if noise.shape[-1] != frames:
            raise CaseError(f"{self._call}.z is for {noise.shape[-1]} frames, {frames} are made")
        return noise

    def phase(self) -> torch.Tensor:
        return self._case.tensor(f"{self._call}.phase")

    def noise(self, samples: int) -> torch.Tensor:
        return torch.zeros(1, self._harmonics + 1, samples)


def check_streams(case: AudioCase) -> Iterator[Check]:
    """Both recipes of the public code, call by call."""
    flow, hift = load_flow(case, "../flow"), load_vocoder(case)
    for recipe, prefix in (("glm_stream_inference", "glm"), ("glm_web_demo", "web")):
        if recipe in case.recorded:
            yield from check_blocks(case, flow, hift, prefix, case.recorded[recipe]["calls"])
    if "vita_stream_demo" in case.recorded:
        yield from check_prefixes(case, flow, hift, case.recorded["vita_stream_demo"])


def check_blocks(
    case: AudioCase, flow: Flow, hift: HiFT, prefix: str, calls: Sequence[dict[str, Any]]
) -> Iterator[Check]:
    """GLM-4-Voice's recipe."""
    names = [f"{prefix}.{index}" for index in range(len(calls))]
    draws = [RecordedDraws(case, name, hift.config.harmonics) for name in names]
    stream = BlockStream(flow, hift, draws=draws)
    for name, recorded in zip(names, calls, strict=True):
        tokens = case.tensor(f"{name}.token")[0]
        made = stream.call(tokens, final=recorded["finalize"], steps=recorded["euler_steps"])
        yield from check_call(case, name, made)
        yield near(name, "frames for the vocoder", made.vocoded, case.tensor(f"{name}.hift_in"), MEL)
        if f"{name}.cache_source" in case.tensors:
            yield near(name, "source kept", made.kept_source, case.tensor(f"{name}.cache_source"), SOURCE)


def check_call(case: AudioCase, name: str, made: Call) -> Iterator[Check]:
    """What both recipes' calls have in common."""
    wave = case.tensor(f"{name}.wav")[0][-len(made.wave) :]
    yield near(name, "mel", made.flow_mel, case.tensor(f"{name}.flow_mel"), MEL)
    yield near(name, "wave", made.wave, wave, STREAMED)
    yield near_on_average(name, "wave, root mean square", made.wave, wave, STREAMED_ON_AVERAGE)


def check_prefixes(case: AudioCase, flow: Flow, hift: HiFT, recorded: dict[str, Any]) -> Iterator[Check]:
    """VITA-Audio's recipe."""
    calls = len(recorded["calls"])
    draws = [RecordedDraws(case, f"vita.{index}", hift.config.harmonics) for index in range(calls)]
    stream, offered, call = PrefixStream(flow, hift, draws), 0, 0
    for prefix, chunk in zip(recorded["offered_prefixes"], recorded["chunks"], strict=True):
        made = stream.call(recorded["tokens"][offered:prefix])
        offered = prefix
        skipped = bool(chunk.get("skipped"))
        yield equal(f"vita, {prefix} tokens", "skipped", [made is None], [skipped])
        if made is None or skipped:
            continue
        name = f"vita.{call}"
        call += 1
        yield equal(name, "new samples", [len(made.wave)], [chunk["new_samples"]])
        yield from check_call(case, name, made)
        sent = torch.from_numpy(pcm(made.wave).astype(np.float32) / PCM)
        wanted = case.tensor(f"{name}.pcm_int16").float() / PCM
        yield near(name, "16-bit samples", sent, wanted, STREAMED)
