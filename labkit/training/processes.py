"""Which of the training's processes this one is."""

from __future__ import annotations

from datetime import timedelta

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

PATIENCE = timedelta(hours=24)
"""How long processes wait for one another. The first one speaks the corpus, trains its codec and tokenises the audio
for all, which takes longer than the ten minutes after which torch would give up."""


def processes() -> PartialState:
    """The state of this process among those that were launched; alone where nothing launched it.

    Accelerate joins processes without a GPU only where it is told of the CPU, and whoever asks first decides for all.

    Raises:
        ValueError: they were launched for DeepSpeed.
    """
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise ValueError(
            "DeepSpeed brings optimizers and checkpoints of its own, which the training loop does not use; to shard "
            "the model among GPUs, launch with --use_fsdp --fsdp_version 2 in place of --use_deepspeed"
        )
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)
