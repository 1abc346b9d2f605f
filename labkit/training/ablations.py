"""What the paper decided against, so that one can train it beside what the paper does (sections 3.2 and 3.3.2)."""

from __future__ import annotations

from dataclasses import replace

import torch

from labkit.model import SpeechLM
from labkit.model.backbone import initialize
from labkit.model.masks import Pass
from labkit.model.speech_lm import SpeechOutput, sequence_geometry
from labkit.training.stages import Part, Stage


class IndependentHeads(SpeechLM):
    """Equation 2 in place of equation 3: every module reads the backbone alone.

    Module `k` predicts the token `k + 2` places on from the backbone's hidden state and the token it stood at. What
    the backbone and the modules before it have predicted in between stays unknown to it.

    Made of a SpeechLM's own parts, `IndependentHeads(model.backbone, model.chain)`; for training and teacher forcing
    only, since generation feeds modules the cascaded way.
    """

    def forward(
        self,
        ids: torch.Tensor | None = None,
        *,
        embeds: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        modules: int | None = None,
    ) -> SpeechOutput:
        """As `SpeechLM.forward`."""
        embeds = self.embed(ids) if embeds is None else embeds
        geometry = sequence_geometry(embeds.shape[:2], embeds.device, attention_mask, positions)
        backbone = self.run_stage(Pass(stage=0, start=0, ids=ids, **geometry), embeds)
        stages = [backbone]
        for stage in range(1, (self.num_modules if modules is None else modules) + 1):
            p = Pass(stage=stage, start=stage, ids=ids, **geometry)
            if p.queries < 1:
                break
            stages.append(self.run_stage(p, embeds[:, :-stage], backbone[:, :-stage]))
        return SpeechOutput(tuple(stages), geometry["positions"], geometry["samples"])


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
