"""Replay recorded tokenizations: log-mels, what is quantised, tokens; and the resampling before them."""

from collections.abc import Iterator

import torch

from labkit.audio.glm4_voice.codec import GLM4VoiceTokenizer
from labkit.audio.resample import resample
from labkit.parity.audio import AudioCase, near
from labkit.parity.cases import CaseError
from labkit.parity.checks import Check, equal

FEATURES = POOLED = 1e-4
RESAMPLED = 5e-5


@torch.inference_mode()
def check_tokenizer(case: AudioCase) -> Iterator[Check]:
    """All recorded features, waveforms and, where there is one, the audio of more than 30 seconds.

    Raises:
        CaseError: the tokenizer cannot be loaded.
    """
    try:
        tokenizer = GLM4VoiceTokenizer.load(case.folder, tell=None)
    except (OSError, ValueError) as error:
        raise CaseError(f"{case.folder}: cannot load the tokenizer: {error}") from error
    model = tokenizer.model
    for recorded in case.recorded.get("cases", []):
        name = recorded["name"]
        mel, mask = case.tensor(f"{name}.input_features"), case.tensor(f"{name}.attention_mask")
        pooled = model.pooled(mel, mask)
        tokens = model.nearest(pooled)
        yield near(name, "before quantising", pooled, case.tensor(f"{name}.pooled"), POOLED)
        yield equal(name, "tokens", tokens.tolist(), case.tensor(f"{name}.token_ids").tolist())
        last = case.tensor(f"{name}.last_hidden_state")
        yield near(name, "codes and positions", model.quantized(tokens), last, POOLED)
    if "wav" in case.recorded:
        samples = case.tensor("wav.samples_int16")
        filled = tokenizer.samples_per_token * case.tensor("wav.pooled").shape[1]
        mel, mask = tokenizer.features([samples.float() / 32768], filled)
        yield near("wav", "log-mels", mel, case.tensor("wav.input_features"), FEATURES)
        yield equal("wav", "mask", mask.tolist(), case.tensor("wav.attention_mask").tolist())
        yield near("wav", "before quantising", model.pooled(mel, mask), case.tensor("wav.pooled"), POOLED)
        kept = case.recorded["wav"]["kept_tokens"]
        yield equal("wav", "tokens", tokenizer.encode(samples, 16000).tolist(), kept)
    if "long" in case.recorded:
        base, recorded = case.tensor("long.base_int16"), case.recorded["long"]
        samples = base[torch.arange(recorded["n_samples"]) % len(base)]
        tokens = tokenizer.encode(samples, 16000).tolist()
        yield equal("long", f"tokens of {len(recorded['segments'])} pieces", tokens, recorded["tokens"])


def check_resampling(case: AudioCase) -> Iterator[Check]:
    """Every recorded rate."""
    for recorded in case.recorded["cases"]:
        rate = recorded["orig_rate"]
        ours = resample(case.tensor(f"sr{rate}.in"), rate, case.recorded["target_rate"])
        yield near(f"{rate} Hz", "samples", ours, case.tensor(f"sr{rate}.out"), RESAMPLED)
