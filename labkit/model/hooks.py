"""Named places inside a model where an activation can be read or replaced.

The names are a public contract, listed by `hook_names` and tested letter by letter. Their last parts are
TransformerLens's, which the field knows:

    backbone.{i}.resid_pre    (batch, rows, hidden)           residual stream entering layer i
    backbone.{i}.pattern      (batch, heads, rows, keys)      attention weights, after the softmax
    backbone.{i}.z            (batch, rows, heads, head_dim)  what each head brings, before the output matrix
    backbone.{i}.attn_out     (batch, rows, hidden)           what attention adds to the stream
    backbone.{i}.mlp_out      (batch, rows, hidden)           what the MLP adds
    backbone.{i}.resid_post   (batch, rows, hidden)           the stream leaving layer i
    backbone.final            (batch, rows, hidden)           after the final norm: what head and chain read
    module.{k}.embed          (batch, rows, hidden)           the normed embedding that module k joins
    module.{k}.hidden         (batch, rows, hidden)           the normed hidden state that module k joins
    module.{k}.resid_pre ... module.{k}.final                 as above, for the module's one layer
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labkit.model.masks import Pass

if TYPE_CHECKING:
    from labkit.model.speech_lm import SpeechLM

LAYER_PARTS = ("resid_pre", "pattern", "z", "attn_out", "mlp_out", "resid_post")
FINAL = "final"

Function = Callable[[torch.Tensor, Pass], torch.Tensor | None]


@dataclass(frozen=True)
class HookPoint:
    """One named place.

    Attributes:
        name: as listed by `hook_names`.
        stage: 0 for the backbone, ``k + 1`` for MCTP module ``k``.
        part: the last part of the name.
        layer: number of the decoder layer, modules' layers after the backbone's; None for a final norm.
        module: the module whose input or output the activation is; None for a final norm, which all share.
        heads: number of attention heads.
    """

    name: str
    stage: int
    part: str
    layer: int | None
    module: nn.Module | None
    heads: int


def hook_points(model: "SpeechLM") -> dict[str, HookPoint]:
    """All hook points of a model, in the order in which a pass reaches them."""
    points: list[HookPoint] = []

    def add(stage: int, part: str, layer: int | None = None, owner: nn.Module | None = None) -> None:
        prefix = f"module.{stage - 1}" if stage else "backbone"
        if not stage and layer is not None:
            prefix += f".{layer}"
        name = f"{prefix}.{part}"
        points.append(HookPoint(name, stage, part, layer, owner, model.config.num_attention_heads))

    def add_layer(stage: int, layer: nn.Module) -> None:
        attention = layer.self_attn
        owners = (layer, attention, attention.o_proj, attention.o_proj, layer.mlp, layer)
        for part, owner in zip(LAYER_PARTS, owners, strict=True):
            add(stage, part, attention.layer_idx, owner)

    for layer in model.layers:
        add_layer(0, layer)
    add(0, FINAL)
    for k, module in enumerate(model.chain):
        number = module.layer.self_attn.layer_idx
        add(k + 1, "embed", number, module.embed_norm)
        add(k + 1, "hidden", number, module.hidden_norm)
        add_layer(k + 1, module.layer)
        add(k + 1, FINAL)
    return {point.name: point for point in points}


def hook_names(model: "SpeechLM") -> list[str]:
    """The names of all hook points of a model."""
    return list(hook_points(model))


def choose_hooks(model: "SpeechLM", names: Collection[str]) -> list[HookPoint]:
    """The hook points of these names.

    Raises:
        ValueError: a name is unknown.
    """
    points = hook_points(model)
    unknown = [name for name in names if name not in points]
    if unknown:
        raise ValueError(f"no hook point {unknown[0]!r}; labkit.model.hook_names(model) lists all")
    return [points[name] for name in points if name in set(names)]


class Taps:
    """Functions at hook points, for as long as `attached` lasts.

    A function gets the activation and the `Pass` it belongs to; what it returns, if not None, takes the
    activation's place. Attention patterns can be read but not replaced.
    """

    def __init__(self, functions: Mapping[HookPoint, Function]) -> None:
        self._functions = dict(functions)
        self._pass: Pass | None = None
        self.patterned = frozenset(point.layer for point in self._functions if point.part == "pattern")

    def begin(self, p: Pass) -> None:
        """The model is about to run ``p``."""
        self._pass = p

    def final(self, p: Pass, hidden: torch.Tensor) -> torch.Tensor:
        """The final-normed hidden states of a pass, as the functions at that place leave them."""
        for point, function in self._functions.items():
            if point.part == FINAL and point.stage == p.stage:
                replaced = function(hidden, p)
                hidden = hidden if replaced is None else replaced
        return hidden

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hang the functions into the model's modules; leaving the block removes them."""
        with ExitStack() as stack:
            for point, function in self._functions.items():
                if point.module is not None:
                    stack.callback(self._hang(point, function).remove)
            yield

    def _hang(self, point: HookPoint, function: Function) -> Any:
        def at_input(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            replaced = function(args[0], self._pass)
            return None if replaced is None else (replaced, *args[1:])

        def at_heads(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            replaced = function(args[0].unflatten(-1, (point.heads, -1)), self._pass)
            return None if replaced is None else (replaced.flatten(-2), *args[1:])

        def at_output(module: nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor | None:
            return function(output, self._pass)

        def at_weights(module: nn.Module, args: tuple, output: tuple[torch.Tensor, torch.Tensor]) -> None:
            if function(output[1], self._pass) is not None:
                raise ValueError(f"{point.name} can only be read; use knockouts to change attention")

        if point.part == "resid_pre":
            return point.module.register_forward_pre_hook(at_input)
        if point.part == "z":
            return point.module.register_forward_pre_hook(at_heads)
        if point.part == "pattern":
            return point.module.register_forward_hook(at_weights)
        return point.module.register_forward_hook(at_output)
