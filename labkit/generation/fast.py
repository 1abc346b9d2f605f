"""The fast path: the same tokens as the readable one, with as little as possible between a model's weights and them.

    fast = FastPath(model, capacity=4096)         # once: lays out weights, allocates every cache
    generate(model, prompt, "turbo", fast=fast)   # as often as one likes

What makes it fast, and where:

- everywhere: caches and hidden states have their places from the start; a pass writes into them by index, so it is
  the same few operations whatever came before. Matrices that read the same rows are one. Of the last module (in
  Vanilla, of the backbone) only the newest row is computed to the end: nobody reads the others.
- on a CPU: catch-up passes of 11 or 14 rows run on weights laid out for few rows and take little longer than one
  row; heads that share keys and values read them once.
- on an NVIDIA GPU: a CUDA graph for each shape of pass, so that a pass is one launch, and `torch.compile` to join
  what lies between the matrix products.

Nothing here can be looked into: hooks, patches and knockouts need the readable path.
"""

from collections.abc import Sequence

import torch

from labkit.generation.graphs import Graphs
from labkit.generation.layers import FLASH, Reach, decoder_layer, held_twice, lay_out, norm
from labkit.generation.state import GenerationState
from labkit.model import SpeechLM
from labkit.model.few_rows import few_rows_linear, pack

MOST_FIXED_ROWS = 32  # longer passes are prompts: seldom two alike, and no launch matters beside their work
FEWEST_FIXED_KEYS = 512  # a recorded or compiled pass looks at so many, or twice, four times, ... as many
MOST_COMPILED = 256  # shapes of passes; torch.compile would silently give up after eight


class FastPath:
    """A model made ready to decode.

    Its caches serve one generation at a time: the next one takes them over.

    Args:
        model: its weights must not change or move afterwards.
        capacity: most tokens of prompt and answer together.
        batch: sequences at once.
        graphs: record passes as CUDA graphs; unless given, wherever there is a GPU.
        compiled: compile the decoder layer with `torch.compile`: a minute at the first passes, for GPUs.

    Attributes:
        model: as given.
        capacity: as given.
        batch: as given.
        cache_bytes: of keys, values and hidden states, allocated here and never again.
        weight_bytes: of weights held a second time.

    Raises:
        ValueError: no room for a token, more tokens than the model has positions for, rotary frequencies that
            change with the length, a model on several devices, or graphs without a GPU.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: SpeechLM,
        capacity: int,
        batch: int = 1,
        graphs: bool | None = None,
        compiled: bool = False,
    ) -> None:
        if capacity < 1 or batch < 1:
            raise ValueError(f"the caches need room for a token of a sequence, got {capacity} of {batch}")
        model.check_length(capacity)
        config, device = model.config, model.device
        if {weight.device for weight in model.parameters()} != {device}:
            raise ValueError("a model spread over several devices needs the readable path")
        if config.rope_parameters["rope_type"] in ("dynamic", "longrope"):
            raise ValueError("rotary frequencies that change with the length need the readable path")
        on_gpu = device.type == "cuda"
        if graphs and not on_gpu:
            raise ValueError(f"CUDA graphs need an NVIDIA GPU; this model is on {device}")
        self.model, self.capacity, self.batch = model, capacity, batch
        self._graphs = Graphs() if (on_gpu if graphs is None else graphs) else None
        self._compiled = None
        if compiled:
            limits = torch._dynamo.config
            limits.recompile_limit = max(limits.recompile_limit, MOST_COMPILED)
            self._compiled = torch.compile(decoder_layer, dynamic=False)
        self._stages = [[lay_out(layer) for layer in model.layers]]
        self._stages += [[lay_out(module.layer)] for module in model.chain]
        projections = [module.projection.weight.detach() for module in model.chain]
        self._projections = [packed if (packed := pack(each)) is not None else each for each in projections]
        layers = [layer for stage in self._stages for layer in stage]
        self.weight_bytes = held_twice(
            [*(weight for layer in layers for weight in layer), *self._projections]
        )

        def zeros(*shape: int) -> torch.Tensor:  # numbers, for what is masked is multiplied by 0 all the same
            return torch.zeros(shape, dtype=model.dtype, device=device)

        head_dim = model.layers[0].self_attn.head_dim
        rows = (batch, config.num_key_value_heads, capacity, head_dim)
        self._caches = [[(zeros(*rows), zeros(*rows)) for _ in stage] for stage in self._stages]
        self._hidden = [zeros(batch, capacity, config.hidden_size) for _ in model.chain]
        self.cache_bytes = sum(
            tensor.nbytes
            for tensor in (*self._hidden, *(t for stage in self._caches for pair in stage for t in pair))
        )
        self._ids = torch.zeros(batch, capacity, dtype=torch.long, device=device)
        self._padding = torch.zeros(batch, dtype=torch.long, device=device)
        self._regular = True
        self._all_columns = torch.arange(capacity, device=device)
        self._columns = self._all_columns[:MOST_FIXED_ROWS].clone()  # where recorded passes read theirs
        cos, sin = model.backbone.model.rotary_emb(zeros(1), self._all_columns[None])
        self._cos, self._sin = cos[0], sin[0]
        self._turn = 0

    def take_over(self, ids: torch.Tensor, padding: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Begin a generation.

        Args:
            ids: ``(batch, columns)`` with the prompts in place.
            padding: ``(batch,)`` columns to the left of each prompt.

        Returns:
            ``(batch, columns)`` the ids that passes read from now on, to be written to; and the turn to give to `run`.

        Raises:
            ValueError: another batch size, or more columns than there is room for.
        """
        if ids.shape[0] != self.batch or ids.shape[1] > self.capacity:
            raise ValueError(
                f"this fast path has room for {self.batch} x {self.capacity} tokens, prompts and answers take "
                f"{ids.shape[0]} x {ids.shape[1]}; make a larger one, or ask for fewer max_new_tokens"
            )
        own = self._ids[:, : ids.shape[1]]
        own.copy_(ids)
        self._padding.copy_(padding)
        self._regular = not padding.any()
        self._turn += 1
        return own, self._turn

    @torch.inference_mode()
    def run(
        self,
        turn: int,
        stage: int,
        start: int,
        stop: int,
        only_last: bool,
        embeds: torch.Tensor | None = None,
        most_keys: int | None = None,
    ) -> torch.Tensor:
        """Run a stage over the columns ``start .. stop - 1``.

        Args:
            turn: of the generation.
            stage: 0 for the backbone, ``k + 1`` for module ``k``.
            start: first column to compute; the stage has seen those before.
            stop: one past the last column.
            only_last: only the last column's hidden state is wanted, now and later.
            embeds: ``(batch, stop - start, hidden)`` in place of the ids' embeddings.
            most_keys: look at no more than the first so many keys. Wrong, but it shows what looking at them costs.

        Returns:
            ``(batch, columns, hidden)`` or ``(batch, 1, hidden)`` final-normed hidden states, good until the next pass.

        Raises:
            RuntimeError: another generation has begun since.
            ValueError: the model is being looked into.
        """
        if turn != self._turn:
            raise RuntimeError("another generation has taken this fast path over; make one for each")
        if self.model.observed:
            raise ValueError("traces, patches and knockouts need the readable path; generate without fast=")
        rows, keys = stop - start, min(stop - stage, most_keys or self.capacity)
        columns = self._all_columns[start:stop]
        fixed = (self._graphs or self._compiled) and rows <= MOST_FIXED_ROWS and embeds is None
        if not fixed:
            return self._pass(stage, columns, keys, only_last, embeds)
        keys = min(max(1 << (keys - 1).bit_length(), FEWEST_FIXED_KEYS), self.capacity)  # some are masked
        if not self._graphs:
            return self._pass(stage, columns, keys, only_last, fixed=True)
        self._columns[:rows] = columns
        return self._graphs.run(
            (stage, rows, keys, only_last, self._regular),
            lambda: self._pass(stage, self._columns[:rows], keys, only_last, fixed=True),
        )

    def _pass(
        self,
        stage: int,
        columns: torch.Tensor,
        keys: int,
        only_last: bool,
        embeds: torch.Tensor | None = None,
        fixed: bool = False,
    ) -> torch.Tensor:
        """As `run`; ``fixed`` for a pass of a shape that comes again, whose columns only the device knows."""
        model, eps = self.model, self.model.config.rms_norm_eps
        hidden = model.embed(self._ids.index_select(1, columns)) if embeds is None else embeds
        if stage:
            module = model.chain[stage - 1]
            before = self._hidden[stage - 1].index_select(1, columns - 1)
            joined = [
                norm(hidden, module.embed_norm.weight, eps),
                norm(before, module.hidden_norm.weight, eps),
            ]
            hidden = few_rows_linear(torch.cat(joined, dim=-1), self._projections[stage - 1])
        kernel = model.attention if self._regular else "sdpa"
        reach = self._reach(stage, columns, keys, kernel, exact=not fixed)
        layer = self._compiled if fixed and self._compiled else decoder_layer
        weights, caches = self._stages[stage], self._caches[stage]
        for number, (own, cache) in enumerate(zip(weights, caches, strict=True), 1):
            hidden = layer(hidden, own, *cache, reach, eps, kernel, only_last and number == len(weights))
        hidden = norm(hidden, model.backbone.model.norm.weight, eps)
        if not only_last:
            self._hidden[stage].index_copy_(1, columns, hidden)
        return hidden

    def _reach(self, stage: int, columns: torch.Tensor, keys: int, kernel: str, exact: bool) -> Reach:
        slots = columns - stage
        if self._regular:
            cos, sin = self._cos[columns][None, None], self._sin[columns][None, None]
        else:
            positions = (columns - self._padding[:, None]).clamp_min(0)
            cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]
        mask = lengths = None
        if kernel == FLASH:
            lengths = (slots[-1:] + 1).to(torch.int32).expand(self.batch)
        elif len(slots) > 1 or not exact or not self._regular:
            places = self._all_columns[:keys]
            visible = places <= slots[:, None]
            if not self._regular:
                visible = visible & (places >= self._padding[:, None])[:, None]
            mask = torch.zeros(visible.shape, dtype=self.model.dtype, device=slots.device)
            mask.masked_fill_(~visible, torch.finfo(self.model.dtype).min)
            mask = mask.view(-1, 1, len(slots), keys)
        return Reach(slots, cos, sin, keys, mask, lengths)


class FastState(GenerationState):
    """What a generation remembers, with everything large kept by its `FastPath`.

    Args:
        fast: whose caches to take over.
        prompts, max_new_tokens, modules, prompt_embeds: see `GenerationState`.

    Raises:
        ValueError: as `GenerationState` and `FastPath.take_over` do.
    """

    def __init__(
        self,
        fast: FastPath,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        modules: int,
        prompt_embeds: Sequence[torch.Tensor] | None = None,
    ) -> None:
        super().__init__(fast.model, prompts, max_new_tokens, modules, prompt_embeds)
        self._fast = fast
        padding = torch.tensor([self.length - len(prompt) for prompt in prompts], device=self.ids.device)
        self.ids, self._turn = fast.take_over(self.ids, padding)

    def _run(self, model: SpeechLM, stage: int) -> torch.Tensor:
        start = self.seen[stage]
        given = self._prompt_embeds is not None and start < self._prompt_embeds.shape[1]
        embeds = self._embeds(model, start) if given else None
        return self._fast.run(self._turn, stage, start, self.length, stage == self.modules, embeds)

    def _forget(self, num_layers: int) -> None:
        """Nothing to do: what is beyond the columns seen is masked until it is written over."""
