"""The training stages as data: what trains, what is frozen, where each new module starts (paper section 3.3.2, Fig. 3).

| stage | what trains | modules | each new module starts from | loss |
|---|---|---|---|---|
| 0 text pre-training (the toy's, in place of Qwen2.5's) | backbone | 0 | - | next token |
| 1 audio-text alignment | backbone | 0 | - | next token |
| 2 one MCTP module | chain | 1 | the backbone's last layer, a random projection | module |
| 3 ten MCTP modules | chain | 10 | the module before it | mean of modules |
| 4 supervised fine-tuning | backbone and chain | 10 | - | next token + mean of modules |

That is the paper's way; a recipe may start the first module's layer at random, deepen the backbone at the end of
stage 1, when only new layers on top train, then let it learn to listen before stage 2, and end stage 4 on another
mixture or with the chain alone, which learns to have the backbone's states (`labkit.training.recipes`).

In stages 2 and 3 the backbone is frozen, its embedding, final norm and head included. So no gradient leaves the chain,
while between modules gradients flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import nn

from labkit.model import SpeechLM
from labkit.model.growth import grow_chain


class Part(StrEnum):
    """The two halves of a SpeechLM, each with a learning rate of its own."""

    BACKBONE = "backbone"
    """Decoder layers, embedding, final norm and head."""
    CHAIN = "chain"
    """Layers, projections and norms of the MCTP modules."""


class StageError(ValueError):
    """A stage that cannot start from the model it was given; the message says which one it needs."""


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        number: 0 to 4.
        name: short, for folders and figures.
        trains: the parts that move; the others are frozen.
        modules: MCTP modules of the chain during the stage; None for however many the model has.
        learning_rates: the paper's, by part (section 4.1); stage 0 is the toy's own.
        weight_decay: of AdamW, as in the released scripts.
        top: how many of the backbone's layers train, counted from the top; None for the whole backbone.
        state_weight: of the loss on the modules' states (`labkit.model.losses.speech_losses`), which the paper's stages
            do not have.
    """

    number: int
    name: str
    trains: tuple[Part, ...]
    modules: int | None
    learning_rates: dict[Part, float]
    weight_decay: float = 0.0
    top: int | None = None
    state_weight: float = 0.0

    def check(self, model: SpeechLM) -> None:
        """Refuse a model that this stage cannot start from.

        Raises:
            StageError: the model has more modules than the stage trains, or none where it needs some.
        """
        if self.modules is not None and model.num_modules > self.modules:
            raise StageError(
                f"stage {self.number} ({self.name}) trains {self.modules} modules, but the model has "
                f"{model.num_modules} already; start from a checkpoint of an earlier stage"
            )
        if self.modules is None and model.num_modules == 0:
            raise StageError(
                f"stage {self.number} ({self.name}) trains the chain too, but the model has no MCTP modules; "
                "run stages 2 and 3 first"
            )

    def prepare(self, model: SpeechLM, generator: torch.Generator) -> SpeechLM:
        """Grow the chain for this stage and freeze what does not train, in place.

        Args:
            model: at the end of an earlier stage, or resumed within this one.
            generator: draws the first module's projection.

        Raises:
            StageError: see `check`.
        """
        self.check(model)
        if self.modules:
            grow_chain(model, self.modules, generator)
        model.requires_grad_(False)
        for _, _, parameter in self.parameters(model):
            parameter.requires_grad_(True)
        return model

    def parameters(self, model: SpeechLM) -> Iterator[tuple[Part, str, nn.Parameter]]:
        """Every parameter that moves in this stage, with its part and name."""
        layers = model.layers if self.top is None else model.layers[-self.top :]
        top = {id(parameter) for layer in layers for parameter in layer.parameters()}
        for name, parameter in model.named_parameters():
            part = Part.CHAIN if name.startswith("chain.") else Part.BACKBONE
            held = part is Part.BACKBONE and self.top is not None and id(parameter) not in top
            if part in self.trains and not held:
                yield part, name, parameter


BETAS = (0.9, 0.95)
"""AdamW's, in every stage (section 4.1)."""

STAGES = (
    Stage(0, "text", (Part.BACKBONE,), 0, {Part.BACKBONE: 6e-5}),
    Stage(1, "alignment", (Part.BACKBONE,), 0, {Part.BACKBONE: 6e-5}),
    Stage(2, "one-module", (Part.CHAIN,), 1, {Part.CHAIN: 1e-3}),
    Stage(3, "ten-modules", (Part.CHAIN,), 10, {Part.CHAIN: 1e-3}),
    Stage(
        4,
        "fine-tuning",
        (Part.BACKBONE, Part.CHAIN),
        None,
        {Part.BACKBONE: 5e-5, Part.CHAIN: 4e-5},
        weight_decay=0.1,
    ),
)


def stage(number: int) -> Stage:
    """The stage of that number.

    Raises:
        StageError: there is none.
    """
    if number not in range(len(STAGES)):
        raise StageError(f"no stage {number!r}; the stages are 0 to {len(STAGES) - 1}")
    return STAGES[number]
