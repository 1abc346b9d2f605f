"""SpeechLM: a Qwen2 backbone and its MCTP chain, sharing embedding, final norm and head (paper Fig. 2)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from labkit.model.attention import check_kernel, precise
from labkit.model.backbone import empty_backbone, initialize, restore_rotary
from labkit.model.cache import KeyValueCache
from labkit.model.few_rows import use_few_rows
from labkit.model.hooks import Function, Taps, choose_hooks
from labkit.model.knockouts import ActiveKnockout, Knockout, KnockoutReport
from labkit.model.masks import Pass
from labkit.model.mctp import MCTPChain
from labkit.model.plan import AttentionPlan
from labkit.model.traces import DEFAULT_LIMIT, Trace


@dataclass(frozen=True)
class SpeechOutput:
    """Final-normed hidden states of a whole sequence, stage by stage.

    Attributes:
        stages: ``stages[0]`` is the backbone's ``(batch, time, hidden)``; ``stages[k + 1]`` is module ``k``'s
            ``(batch, time - k - 1, hidden)``, whose first row stands at column ``k + 1``. Every row at column
            ``c`` predicts the token of column ``c + 1``.
        positions: ``(batch, time)``, negative on padding.
        samples: ``(batch, time)`` packed sample of each column, or None.
    """

    stages: tuple[torch.Tensor, ...]
    positions: torch.Tensor
    samples: torch.Tensor | None


class SpeechLM(nn.Module):
    """Backbone and chain. Stateless between calls: what generation remembers lives in its own state object.

    Args:
        backbone: transformers' Qwen2 with its head.
        chain: MCTP modules; may be empty.
        attention: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``.
        module_loss_weight: weight of the modules' mean loss beside the next-token loss.
    """

    def __init__(
        self,
        backbone: Qwen2ForCausalLM,
        chain: MCTPChain,
        attention: str = "sdpa",
        module_loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.chain = chain
        self.attention = check_kernel(attention)
        self.module_loss_weight = module_loss_weight
        use_few_rows(self)
        self._knockouts: list[KnockoutReport] = []  # in force inside a `with` block, and only there
        self._taps: list[Taps] = []

    @classmethod
    def empty(cls, config: Qwen2Config, num_modules: int = 0, attention: str = "sdpa") -> "SpeechLM":
        """A model on the meta device: every shape and no memory, whatever the size."""
        backbone = empty_backbone(config)
        with torch.device("meta"):
            chain = MCTPChain(backbone.config, num_modules)
        return cls(backbone, chain, attention).eval()

    @classmethod
    def from_config(
        cls,
        config: Qwen2Config,
        num_modules: int = 0,
        *,
        generator: torch.Generator,
        attention: str = "sdpa",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> "SpeechLM":
        """A model with fresh weights, drawn from ``generator`` alone."""
        model = cls.empty(config, num_modules, attention).to(dtype)
        model.to_empty(device=device)
        model.backbone.tie_weights()
        initialize(model, config.initializer_range, generator)
        return model

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "SpeechLM":
        # Every .to() passes here, and .to(bfloat16) would round the rotary frequencies as well.
        super()._apply(fn, recurse)
        if self.device.type != "meta":
            restore_rotary(self.backbone, self.device)
        return self

    @property
    def config(self) -> Qwen2Config:
        """The backbone's configuration; ``num_hidden_layers`` counts the backbone's layers only."""
        return self.backbone.config

    @property
    def num_modules(self) -> int:
        """MCTP modules in the chain."""
        return len(self.chain)

    @property
    def layers(self) -> Sequence[Qwen2DecoderLayer]:
        """The backbone's decoder layers."""
        return self.backbone.model.layers

    @property
    def device(self) -> torch.device:
        return self.backbone.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.backbone.lm_head.weight.dtype

    @property
    def observed(self) -> bool:
        """Whether a trace, a patch or a knockout is in force."""
        return bool(self._taps or self._knockouts)

    def freeze_backbone(self, frozen: bool = True) -> "SpeechLM":
        """Freeze, or release, all that is not the chain's own: layers, embedding, final norm and head."""
        self.backbone.requires_grad_(not frozen)
        return self

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings ``(batch, time, hidden)`` of ids ``(batch, time)``."""
        return self.backbone.model.embed_tokens(ids)

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits ``(..., vocab_size)`` of final-normed hidden states ``(..., hidden)``."""
        return self.backbone.lm_head(hidden)

    def run_stage(
        self,
        p: Pass,
        embeds: torch.Tensor,
        previous: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """Run the backbone or one MCTP module over the columns of a pass.

        Args:
            p: which stage and which columns.
            embeds: ``(batch, queries, hidden)`` embeddings of the tokens in those columns.
            previous: ``(batch, queries, hidden)`` what the stage before made of the columns one to the left;
                None for the backbone.
            cache: holds the stage's earlier columns and takes these; None if the pass covers all.

        Returns:
            ``(batch, queries, hidden)`` final-normed hidden states.
        """
        for taps in self._taps:
            taps.begin(p)
        if p.stage == 0:
            layers, hidden = self.layers, embeds
        else:
            module = self.chain[p.stage - 1]
            layers, hidden = [module.layer], module.join(embeds, previous)
        plan = AttentionPlan(p, self.attention, hidden.dtype, self._knockouts, self._taps)
        rotary = self.backbone.model.rotary_emb(hidden, p.query_positions)
        with precise(hidden.device):
            for layer in layers:
                attention = plan.arguments(layer.self_attn.layer_idx)
                hidden = layer(hidden, position_embeddings=rotary, past_key_values=cache, **attention)
        hidden = self.backbone.model.norm(hidden)
        for taps in self._taps:
            hidden = taps.final(p, hidden)
        return hidden

    def forward(
        self,
        ids: torch.Tensor | None = None,
        *,
        embeds: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        modules: int | None = None,
    ) -> SpeechOutput:
        """Run whole sequences through the backbone and the chain, without a cache.

        Args:
            ids: ``(batch, time)`` token ids.
            embeds: ``(batch, time, hidden)`` in place of the ids' embeddings, for continuous audio.
            attention_mask: ``(batch, time)`` 0 on padding, left or right.
            positions: ``(batch, time)`` positions that start anew with every packed sample; samples do not
                see each other.
            modules: run only this many modules.

        Raises:
            ValueError: neither ids nor embeddings, too many modules, or positions beyond the model's maximum.
        """
        if ids is None and embeds is None:
            raise ValueError("give ids, or embeds, or both")
        if embeds is None:
            embeds = self.embed(ids)
        wanted = self.num_modules if modules is None else modules
        if not 0 <= wanted <= self.num_modules:
            raise ValueError(f"{wanted} modules asked for, the chain has {self.num_modules}")
        geometry = sequence_geometry(embeds.shape[:2], embeds.device, attention_mask, positions)
        self.check_length(int(geometry["positions"].max()) + 1)
        stages = [self.run_stage(Pass(stage=0, start=0, ids=ids, **geometry), embeds)]
        for stage in range(1, wanted + 1):
            p = Pass(stage=stage, start=stage, ids=ids, **geometry)
            if p.queries < 1:
                break  # the sequence is too short for any row of this module
            stages.append(self.run_stage(p, *self.module_inputs(stage, embeds, stages)))
        return SpeechOutput(tuple(stages), geometry["positions"], geometry["samples"])

    def module_inputs(
        self, stage: int, embeds: torch.Tensor, stages: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What module ``stage - 1`` joins in a whole-sequence pass (eq. 3), both ``(batch, time - stage, hidden)``.

        Args:
            stage: 1 for the first module.
            embeds: ``(batch, time, hidden)`` embeddings of all tokens.
            stages: hidden states of the stages before, as in `SpeechOutput`.

        Returns:
            The embeddings of the columns from ``stage`` on, and the stage before's hidden states one to the left.
        """
        return embeds[:, stage:], stages[-1][:, :-1]

    def check_length(self, tokens: int) -> None:
        """Refuse sequences longer than the model has positions for.

        Raises:
            ValueError: too long.
        """
        most = self.config.max_position_embeddings
        if tokens > most:
            raise ValueError(f"{tokens} tokens, but the model has {most} positions; shorten the input")

    @contextmanager
    def knocked_out(self, knockouts: Sequence[Knockout]) -> Iterator[KnockoutReport]:
        """Cut attention edges in every pass inside the block; see `labkit.model.knockouts`.

        Raises:
            ValueError: a layer, head or module does not exist, or a token is left nothing to look at.
            KnockoutNeverFired: on leaving the block, if a knockout cut nothing.
        """
        layers, heads = self.config.num_hidden_layers, self.config.num_attention_heads
        for knockout in knockouts:
            knockout.check(layers, heads, self.num_modules)
        report = KnockoutReport([ActiveKnockout(knockout, layers, heads) for knockout in knockouts])
        self._knockouts.append(report)
        try:
            yield report
            report.check_fired()
        finally:
            self._knockouts.remove(report)

    @contextmanager
    def traced(
        self, names: Sequence[str], positions: Sequence[int] | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Trace]:
        """Keep activations of every pass inside the block; see `labkit.model.traces`.

        Raises:
            ValueError: a hook point does not exist.
            MemoryError: the trace would pass ``limit`` bytes.
        """
        trace = Trace(self, names, positions, limit)
        with self._tapped(trace.taps):
            yield trace

    @contextmanager
    def patched(self, functions: Mapping[str, Function]) -> Iterator[None]:
        """Replace activations in every pass inside the block (activation patching).

        Args:
            functions: by hook name, a function of the activation and its `Pass` that returns what to put in
                its place, or None to leave it.

        Raises:
            ValueError: a hook point does not exist, or is a pattern, which can only be read.
        """
        points = choose_hooks(self, functions)
        with self._tapped(Taps({point: functions[point.name] for point in points})):
            yield

    @contextmanager
    def _tapped(self, taps: Taps) -> Iterator[None]:
        self._taps.append(taps)
        try:
            with taps.attached():
                yield
        finally:
            self._taps.remove(taps)


def sequence_geometry(
    shape: Sequence[int],
    device: torch.device,
    attention_mask: torch.Tensor | None = None,
    positions: torch.Tensor | None = None,
) -> dict[str, torch.Tensor | bool | None]:
    """Positions and packed samples of whole sequences: the fields that all passes over them share."""
    batch, time = shape
    plain = torch.arange(time, device=device).expand(batch, time)
    if attention_mask is None and positions is None:
        return {"positions": plain, "samples": None, "regular": True}
    samples = None
    if positions is not None:
        positions = positions.to(device).expand(batch, time)
        # A sample ends where the position does not go up by one.
        breaks = positions.diff(dim=1, prepend=positions[:, :1] - 1) != 1
        samples = breaks.cumsum(1)
    if attention_mask is not None:
        real = attention_mask.to(device).bool()
        counted = real.cumsum(1) - 1 if positions is None else positions
        positions = counted.masked_fill(~real, -1)
    return {"positions": positions, "samples": samples, "regular": False}
