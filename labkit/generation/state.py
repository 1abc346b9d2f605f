"""Everything that a generation remembers, in one object; the model itself remembers nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from labkit.model.cache import KeyValueCache
from labkit.model.masks import Pass
from labkit.model.speech_lm import SpeechLM


class HiddenRows:
    """Final-normed hidden states of one stage that the next module has still to read.

    Args:
        first: column of the first row to come.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._pieces: list[torch.Tensor] = []

    def append(self, rows: torch.Tensor) -> None:
        """Add rows ``(batch, rows, hidden)`` at the end."""
        self._pieces.append(rows)

    def since(self, column: int) -> torch.Tensor:
        """The rows from ``column`` on. They are kept in case they are taken back; older ones are let go."""
        rows = self._joined()[:, column - self._first :]
        self._first, self._pieces = column, [rows]
        return rows

    def copy(self) -> "HiddenRows":
        """The same rows, which go on by themselves from here; no tensor is copied."""
        other = HiddenRows(self._first)
        other._pieces = list(self._pieces)
        return other

    def crop(self, stop: int) -> None:
        """Forget the rows from column ``stop`` on."""
        if self._pieces:
            self._pieces = [self._joined()[:, : max(stop - self._first, 0)]]

    def _joined(self) -> torch.Tensor:
        return self._pieces[0] if len(self._pieces) == 1 else torch.cat(self._pieces, dim=1)


@dataclass(frozen=True)
class Mark:
    """How far a generation has come, to go back to; see `GenerationState.mark`.

    Attributes:
        length, seen, next_module, finished: of the state when it was marked.
        hidden: its hidden states in transit, by stage.
    """

    length: int
    seen: tuple[int, ...]
    next_module: int
    finished: torch.Tensor
    hidden: tuple[HiddenRows, ...]


class GenerationState:
    """Tokens, caches, hidden states in transit and the next module of a batch of sequences.

    Shorter prompts are padded on the left, so that all sequences end in the same column.

    Args:
        model: which will generate.
        prompts: token ids, one list per sequence.
        max_new_tokens: room for so many more.
        modules: how many MCTP modules will be used; hidden states are kept for them only.
        prompt_embeds: ``(len(prompt), hidden)`` per sequence in place of the prompt ids' embeddings, for
            continuous audio.

    Attributes:
        ids: ``(batch, capacity)`` tokens so far in the columns before ``length``.
        length: columns filled.
        seen: for each stage, one past the last column it has computed.
        next_module: the module that the next MCTP slot uses; a backbone pass resets it to 0.
        finished: ``(batch,)`` True for sequences whose further tokens nobody wants.

    Raises:
        ValueError: no prompt, an empty one, ids outside the vocabulary, or more tokens than the model has
            positions for.
    """

    def __init__(
        self,
        model: SpeechLM,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        modules: int,
        prompt_embeds: Sequence[torch.Tensor] | None = None,
    ) -> None:
        if not prompts or not all(len(prompt) for prompt in prompts):
            raise ValueError("every prompt needs at least one token for the backbone to read")
        longest = max(map(len, prompts))
        capacity = longest + max_new_tokens
        model.check_length(capacity)
        self.ids = torch.zeros(len(prompts), capacity, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            self.ids[row, longest - len(prompt) : longest] = torch.as_tensor(prompt)
        if self.ids.min() < 0 or self.ids.max() >= model.config.vocab_size:
            wrong = self.ids[(self.ids < 0) | (self.ids >= model.config.vocab_size)][0]
            raise ValueError(f"id {int(wrong)} is outside the vocabulary of {model.config.vocab_size}")
        self.ids = self.ids.to(model.device)
        self.length = longest
        padding = torch.tensor([longest - len(prompt) for prompt in prompts])
        self._regular = not padding.any()
        self._positions = (torch.arange(capacity) - padding[:, None]).to(model.device)
        self._prompt_embeds = self._pad_embeds(model, prompts, prompt_embeds)
        self.cache = KeyValueCache(capacity)
        self.modules = modules
        self.seen = list(range(modules + 1))
        self._hidden = [HiddenRows(stage) for stage in range(modules)]
        self.next_module = 0
        self.finished = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)

    @staticmethod
    def _pad_embeds(
        model: SpeechLM, prompts: Sequence[Sequence[int]], embeds: Sequence[torch.Tensor] | None
    ) -> torch.Tensor | None:
        if embeds is None:
            return None
        if [len(rows) for rows in embeds] != [len(prompt) for prompt in prompts]:
            raise ValueError("prompt_embeds needs one row per prompt token, placeholders included")
        longest = max(map(len, prompts))
        padded = torch.zeros(len(prompts), longest, model.config.hidden_size)
        padded = padded.to(model.device, model.dtype)
        for row, rows in enumerate(embeds):
            padded[row, longest - len(rows) :] = rows
        return padded

    @property
    def batch(self) -> int:
        """Number of sequences."""
        return self.ids.shape[0]

    def append(self, ids: torch.Tensor) -> None:
        """Add one token ``(batch,)`` to every sequence."""
        self.ids[:, self.length] = ids
        self.length += 1

    @torch.no_grad()
    def advance(self, model: SpeechLM, stage: int) -> torch.Tensor:
        """Run a stage over every column it has not seen, so that it has seen all.

        The backbone reads what the chain has made since (11 tokens after ten MCTP tokens); a module reads what
        it skipped, the whole prompt at its first use. So prefill, catching up and back-fill are one thing.

        Returns:
            ``(batch, columns, hidden)`` final-normed hidden states; the last column predicts the next token.

        Raises:
            ValueError: the stage before has not computed the hidden states that this one reads.
        """
        if stage and self.seen[stage - 1] != self.length - 1:
            raise ValueError(
                f"MCTP module {stage - 1} reads what the stage before made of all tokens but the last; that "
                f"one has seen {self.seen[stage - 1]} of {self.length}"
            )
        hidden = self._run(model, stage)
        self.seen[stage] = self.length
        self.next_module = stage
        return hidden

    def _run(self, model: SpeechLM, stage: int) -> torch.Tensor:
        """The pass itself."""
        start = self.seen[stage]
        previous = self._hidden[stage - 1].since(start - 1) if stage else None
        hidden = model.run_stage(self.coming(stage), self._embeds(model, start), previous, self.cache)
        if stage < self.modules:
            self._hidden[stage].append(hidden)
        return hidden

    def coming(self, stage: int) -> Pass:
        """The pass that would bring a stage up to date."""
        return Pass(
            stage=stage,
            start=self.seen[stage],
            positions=self._positions[:, : self.length],
            ids=self.ids[:, : self.length],
            regular=self._regular,
        )

    def _embeds(self, model: SpeechLM, start: int) -> torch.Tensor:
        embeds = model.embed(self.ids[:, start : self.length])
        if self._prompt_embeds is not None and start < self._prompt_embeds.shape[1]:
            given = self._prompt_embeds[:, start:]
            embeds = torch.cat([given, embeds[:, given.shape[1] :]], dim=1)
        return embeds

    def crop(self, length: int, num_layers: int) -> None:
        """Take back the tokens from column ``length`` on, and all that was made of them.

        Args:
            length: columns to keep.
            num_layers: backbone layers, whose caches are cropped together.
        """
        self.length = length
        for stage in range(self.modules + 1):
            self.seen[stage] = max(min(self.seen[stage], length), stage)
        self._forget(num_layers)

    def mark(self) -> Mark:
        """How far this generation has come: `rewind` takes back whatever follows, as often as one likes."""
        hidden = tuple(rows.copy() for rows in self._hidden)
        return Mark(self.length, tuple(self.seen), self.next_module, self.finished.clone(), hidden)

    def rewind(self, mark: Mark, num_layers: int) -> None:
        """Take back all that was made since a mark of this same generation; `num_layers` as for `crop`."""
        self.length, self.seen, self.next_module = mark.length, list(mark.seen), mark.next_module
        self._hidden = [rows.copy() for rows in mark.hidden]
        self.finished = mark.finished.clone()
        self._forget(num_layers)

    def _forget(self, num_layers: int) -> None:
        """Take back what caches and hidden states hold of columns that are no longer seen."""
        for stage in range(self.modules + 1):
            layers = range(num_layers) if stage == 0 else [num_layers + stage - 1]
            for layer in layers:
                self.cache.crop(layer, self.seen[stage] - stage)
        for hidden in self._hidden:
            hidden.crop(self.length)
