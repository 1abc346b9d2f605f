r"""FSDP: a model sharded among processes, each of which holds a part of every parameter.

Launched with, for example,

    accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP \
        -m labkit.training.train_stage ...

a decoder layer's parameters, the backbone's or a module's, are whole only while it computes. Losses stay what they are
in one process. The memory of each process still has to hold the whole model twice, in float32, before and after.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, parse_flag_from_env
from torch import nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether the processes shard the model's parameters among them.

    Raises:
        ValueError: they were launched to shard it in a way that the training loop does not know.
    """
    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return False
    if accelerator.distributed_type != DistributedType.FSDP:
        raise ValueError(
            "FSDP shards a model among several GPUs, and here accelerate found none or was told of one process; "
            "launch without --use_fsdp"
        )
    if not accelerator.is_fsdp2:
        raise ValueError("this loop shards a model by FSDP's second version; launch with --fsdp_version 2")
    return True


def to_shard(model: nn.Module, sharded: bool) -> nn.Module:
    """What trains in a model's place: itself, or a copy, since FSDP leaves no whole model behind."""
    return copy.deepcopy(model) if sharded else model


@torch.no_grad()
def gather(sharded: nn.Module, model: nn.Module) -> None:
    """Take over the weights of a model that was sharded, in every process and one parameter at a time.

    Args:
        sharded: copy of the model, trained.
        model: whole; nothing changes where both are the same.
    """
    if sharded is model:
        return
    own = dict(model.named_parameters())
    for name, parameter in sharded.named_parameters():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        own[name].copy_(whole)


def save_sharded(
    folder: Path, model: nn.Module, optimizers: Sequence[Optimizer], schedulers: Sequence[LRScheduler]
) -> None:
    """Write a checkpoint of a sharded model; every process writes its part.

    accelerate's own takes a model for every optimizer, and Muon and AdamW share one.
    """
    checkpoint.save(_state(model, optimizers, schedulers), checkpoint_id=folder)


def load_sharded(
    folder: Path, model: nn.Module, optimizers: Sequence[Optimizer], schedulers: Sequence[LRScheduler]
) -> None:
    """Go on from what `save_sharded` wrote."""
    state = _state(model, optimizers, schedulers)
    checkpoint.load(state, checkpoint_id=folder)
    set_state_dict(model, optimizers, model_state_dict=state["model"], optim_state_dict=state["optimizers"])
    for scheduler, own in zip(schedulers, state["schedulers"], strict=True):
        scheduler.load_state_dict(own)


def _state(
    model: nn.Module, optimizers: Sequence[Optimizer], schedulers: Sequence[LRScheduler]
) -> dict[str, object]:
    weights, moments = get_state_dict(model, optimizers)
    return {
        "model": weights,
        "optimizers": moments,
        "schedulers": [scheduler.state_dict() for scheduler in schedulers],
    }
