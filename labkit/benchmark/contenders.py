"""Who is timed: every mode on the fast path, with the whole head and with a cut one, and plain transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from labkit.generation import Event, FastPath, InLayout, generate
from labkit.interleave import MODES, InterleaveMode
from labkit.model import SpeechLM
from labkit.vocabulary import Vocabulary

YARDSTICK = "transformers"
CUT = ", cut head"


def plain_twin(model: SpeechLM) -> Qwen2ForCausalLM:
    """Transformers' own model around the same weights, with its own sdpa attention."""
    fields = {**model.config.to_dict(), "attn_implementation": "sdpa"}
    with torch.device("meta"):
        twin = Qwen2ForCausalLM(Qwen2Config(**fields)).eval()
    twin.load_state_dict(model.backbone.state_dict(), assign=True)
    twin.model.rotary_emb = model.backbone.model.rotary_emb
    return twin


@torch.no_grad()
def plain_generate(model: Qwen2ForCausalLM, prompt: Sequence[int], tokens: int) -> list[int]:
    """The yardstick: transformers' ``generate``, greedy, with its dynamic cache."""
    ids = torch.tensor([list(prompt)], device=model.device)
    config = GenerationConfig(max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
    made = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return made[0, len(prompt) :].tolist()


@dataclass
class Contender:
    """One way to make tokens; call it to make them.

    Attributes:
        name: of the row it gets.
        mode: None for the yardstick.
        cut: whether only the rows that a slot can hold are scored.
        run: makes the tokens.
        calls: the events of every call.
    """

    name: str
    mode: InterleaveMode | None
    cut: bool
    run: Callable[[], Sequence[Event]]
    calls: list[list[Event]] = field(default_factory=list)

    def __call__(self) -> None:
        self.calls.append(list(self.run()))

    @property
    def events(self) -> list[Event]:
        """Of the latest call."""
        return self.calls[-1]

    def quietest(self, warm_up: int = 1) -> list[Event]:
        """Events of the call that took least, those to warm up left out."""
        return min(self.calls[warm_up:], key=lambda events: events[-1].seconds)


def contenders(
    fast: FastPath,
    prompt: Sequence[int],
    tokens: int,
    vocabulary: Vocabulary,
    modes: Sequence[InterleaveMode] = tuple(MODES.values()),
    yardstick: bool = True,
) -> dict[str, Contender]:
    """Everything that is timed, by name.

    Args:
        fast: a model made ready.
        prompt: token ids.
        tokens: to generate.
        vocabulary: of the head to cut; a model with fewer rows gets no cut head.
        modes: to time.
        yardstick: begin with plain transformers.
    """
    found: list[Contender] = []
    if yardstick:
        twin = plain_twin(fast.model)
        found.append(Contender(YARDSTICK, None, False, lambda: plain_generate(twin, prompt, tokens)))
    for mode in modes:
        found.append(Contender(mode.name, mode, False, full(fast, prompt, tokens, mode)))
        if fast.model.config.vocab_size >= vocabulary.size:
            found.append(Contender(mode.name + CUT, mode, True, cut(fast, prompt, tokens, mode, vocabulary)))
    return {each.name: each for each in found}


def full(
    fast: FastPath, prompt: Sequence[int], tokens: int, mode: InterleaveMode
) -> Callable[[], list[Event]]:
    """A mode in which every slot is chosen from the whole vocabulary."""
    return lambda: list(generate(fast.model, prompt, mode, max_new_tokens=tokens, fast=fast))


def cut(
    fast: FastPath, prompt: Sequence[int], tokens: int, mode: InterleaveMode, vocabulary: Vocabulary
) -> Callable[[], list[Event]]:
    """A mode in which every slot is chosen from what it can hold."""
    return lambda: list(
        generate(
            fast.model,
            prompt,
            mode,
            max_new_tokens=tokens,
            choose=InLayout(mode),
            vocabulary=vocabulary,
            stop_ids=(),
            constrained=True,
            fast=fast,
        )
    )
