"""The mean of two models' weights, where one was trained on from the other."""

from __future__ import annotations

import torch

from labkit.model import SpeechLM


@torch.no_grad()
def average_weights(model: SpeechLM, before: SpeechLM, share: float) -> SpeechLM:
    """Give back a share of the weights that a model began with, in place (Wortsman et al., 2022, arXiv:2109.01903).

    Args:
        model: as it is after a training.
        before: as it was before.
        share: of `before` in the mean, from 0 to 1.

    Raises:
        ValueError: models of other shapes, or a share outside of 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share of the weights lies between 0 and 1, got {share}")
    own, other = (dict(each.named_parameters()) for each in (model, before))
    if {name: value.shape for name, value in own.items()} != {
        name: value.shape for name, value in other.items()
    }:
        raise ValueError(
            "only the weights of one model before and after a training have a mean; these are two"
        )
    for name, weight in own.items():
        weight.lerp_(other[name].to(weight), share)
    return model
