"""What the paper decided against, so that one can train it beside what the paper does (sections 3.2 and 3.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from labkit.model import SpeechLM
from labkit.model.backbone import initialize
from labkit.training.stages import Part, Stage


class IndependentHeads(SpeechLM):
    """Equation 2 in place of equation 3: every module reads the backbone alone.

    Module `k` predicts the token `k + 2` places on from the backbone's hidden state and the token it stood at. What
    the backbone and the modules before it have predicted in between stays unknown to it.

    Made of a SpeechLM's own parts, `IndependentHeads(model.backbone, model.chain)`; for training and teacher forcing
    only, since generation feeds modules the cascaded way.
    """

    def module_inputs(
        self, stage: int, embeds: torch.Tensor, stages: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `SpeechLM.module_inputs`, but token and backbone's hidden state both from `stage` columns to the left."""
        return embeds[:, :-stage], stages[0][:, :-stage]


def restart_layer(model: SpeechLM, module: int, generator: torch.Generator) -> SpeechLM:
    """Give a module's decoder layer random weights, in place, where growing copied them from the backbone."""
    initialize(model.chain[module].layer, model.config.initializer_range, generator)
    return model


def attached(stage: Stage, rate: float) -> Stage:
    """The same stage without the gradient detached: the modules' loss moves the backbone too."""
    return replace(
        stage,
        trains=(Part.BACKBONE, Part.CHAIN),
        learning_rates={**stage.learning_rates, Part.BACKBONE: rate},
    )
