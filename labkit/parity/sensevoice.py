"""Replay recorded encodings of SenseVoice and the adapter: from samples to the rows that stand in a prompt."""

from collections.abc import Iterator
from typing import Any

import torch

from labkit.audio.sensevoice.encoder import EncoderConfig, positions
from labkit.audio.sensevoice.features import STATISTICS, Normalization, filter_banks, stack_frames
from labkit.checkpoints import CheckpointError
from labkit.model.plus import AudioTower, fill_tower
from labkit.parity.audio import AudioCase, near
from labkit.parity.cases import CaseError
from labkit.parity.checks import Check

BANKS, ROWS, ENCODED, HALF = 2e-3, 1e-5, 1e-4, 0.05
POSITIONS = 1e-5


def load_tower(case: AudioCase, dtype: torch.dtype) -> AudioTower:
    """Encoder and adapter of a case.

    Raises:
        CaseError: the files do not fit.
    """
    try:
        settings = case.settings()
        shape = settings["encoder_conf"]
        config = EncoderConfig(
            width=shape["output_size"],
            heads=shape["attention_heads"],
            feed_forward=shape["linear_units"],
            layers=shape["num_blocks"],
            second_layers=shape["tp_blocks"],
            kernel=shape["kernel_size"],
        )
        with torch.device("meta"):
            tower = AudioTower(config, settings["hidden_size"])
        fill_tower(tower, [case.folder / "model.safetensors"], torch.device("cpu"), dtype)
    except (OSError, KeyError, CheckpointError) as error:
        raise CaseError(f"{case.folder}: cannot load the encoder: {error}") from error
    return tower.eval()


@torch.inference_mode()
def check_sensevoice(case: AudioCase) -> Iterator[Check]:
    """Front end, positions, encoder and adapter, also in bfloat16 where that was recorded."""
    if "wav.samples_int16" in case.tensors:
        yield from check_front_end(case)
    for name, recorded in case.tensors.items():
        if name.startswith("posenc_"):
            dtype = torch.bfloat16 if "bf16" in name else torch.float32
            yield near(
                "positions", str(dtype), positions(*recorded.shape, dtype).float(), recorded, POSITIONS
            )
    tower, half = load_tower(case, torch.float32), None
    for recorded in case.recorded["cases"]:
        yield from check_encoding(case, tower, recorded)
        name = recorded["name"]
        if f"{name}.encoder_out_bf16" in case.tensors:
            half = half or load_tower(case, torch.bfloat16)
            encoded = half.encoder(case.tensor(f"{name}.feats").bfloat16())
            for what, ours, wanted in (
                ("encoder", encoded, "encoder_out_bf16"),
                ("adapter", half.adapter(encoded), "projected_bf16"),
            ):
                yield near(f"{name}, bfloat16", what, ours.float(), case.tensor(f"{name}.{wanted}"), HALF)


def check_front_end(case: AudioCase) -> Iterator[Check]:
    """From samples to normalised rows, each stage given the recorded one before it."""
    samples = case.tensor("wav.samples_int16").float() / 32768
    banks, stacked = case.tensor("wav.fbank"), case.tensor("wav.lfr")
    normalize = Normalization.read(case.folder / STATISTICS)
    yield near("wav", "filter banks", filter_banks(samples), banks, BANKS)
    yield near("wav", "low frame rate", stack_frames(banks), stacked, ROWS)
    yield near("wav", "normalised", normalize(stacked), case.tensor("wav.feats")[0], ROWS)


def check_encoding(case: AudioCase, tower: AudioTower, recorded: dict[str, Any]) -> Iterator[Check]:
    """Every stage of the encoder, and the adapter, on the rows that mean something."""
    name, lengths = recorded["name"], torch.tensor(recorded["feature_frames"])
    x, mask = tower.encoder.enter(case.tensor(f"{name}.feats"), lengths)
    first = tower.encoder.first(x, mask)
    encoded = tower.encoder.second(first, mask)
    stages = {
        "prefix and positions": (x[:, :12], "encoder_in_after_posenc_first12"),
        "after_norm": (first, "after_norm"),
        "encoder": (encoded, "encoder_out"),
        "adapter": (tower.adapter(encoded), "projected"),
    }
    for what, (ours, wanted) in stages.items():
        real = mask[:, : ours.shape[1]]
        yield near(name, what, ours[real], case.tensor(f"{name}.{wanted}")[real], ENCODED)
    counted = mask.sum(1).to(torch.int32)
    yield near(name, "rows", counted, case.tensor(f"{name}.encoder_out_lens"), 0.0)
