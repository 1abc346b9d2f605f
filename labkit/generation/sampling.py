"""Choosing the next token from logits."""

from collections.abc import Callable, Sequence

import torch

from labkit.interleave import Content, InterleaveMode, parse

Choose = Callable[[torch.Tensor], torch.Tensor]
"""From logits ``(batch, candidates)`` to the index ``(batch,)`` of the candidate chosen."""


def greedy(logits: torch.Tensor) -> torch.Tensor:
    """The most likely token of each sequence."""
    return logits.argmax(-1)


class InLayout:
    """Greedy choice for constrained decoding, except that audio chunks begin and end where the mode's content says.

    For random weights, which know nothing of chunks. It counts the slots: one for each generation.
    """

    def __init__(self, mode: InterleaveMode | str) -> None:
        self._mode, self._slot = parse(mode), 0

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Places among the candidates ``(batch,)``, whose logits are ``(batch, candidates)``."""
        content = self._mode.holds(self._slot)
        self._slot += 1
        if content in (Content.BEGIN_OF_AUDIO, Content.END_OF_AUDIO):
            return torch.zeros(len(logits), dtype=torch.long, device=logits.device)  # the tag comes first
        first = int(content is Content.AUDIO)  # not the tag that would end the chunk
        return logits[:, first:].argmax(-1) + first


class Sampler:
    """Temperature, top-k and top-p sampling from its own random numbers.

    Args:
        generator: one for the whole batch, or one per sequence. With one per sequence, a sequence gets the
            same tokens alone and in a batch.
        temperature: divides the logits; 0 is `greedy`.
        top_k: keep only so many of the likeliest tokens.
        top_p: keep only the likeliest tokens that together reach this probability.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        generator: torch.Generator | Sequence[torch.Generator],
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> None:
        if temperature < 0:
            raise ValueError(f"temperature must be 0 or more, got {temperature}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        if top_p is not None and not 0 < top_p <= 1:
            raise ValueError(f"top_p must lie above 0 and at most at 1, got {top_p}")
        self.generator = generator
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Draw one candidate ``(batch,)`` per sequence from logits ``(batch, candidates)``."""
        if self.temperature == 0:
            return greedy(logits)
        probabilities = self.probabilities(logits)
        if isinstance(self.generator, torch.Generator):
            return torch.multinomial(probabilities, 1, generator=self.generator)[:, 0]
        if len(self.generator) != len(probabilities):
            raise ValueError(f"{len(self.generator)} generators for a batch of {len(probabilities)}")
        rows = zip(probabilities, self.generator, strict=True)
        return torch.cat([torch.multinomial(row, 1, generator=own) for row, own in rows])

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """``(batch, candidates)`` what is drawn from."""
        logits = logits.float() / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p is not None:
            ordered, order = logits.softmax(-1).sort(descending=True)
            # A token stays if those before it do not reach top_p yet: the first always does.
            beyond = ordered.cumsum(-1) - ordered >= self.top_p
            logits = logits.masked_fill(beyond.scatter(-1, order, beyond), -torch.inf)
        return logits.softmax(-1)
