"""Where in a word the fast makers go wrong: accuracy by place in the word and in the chunk of audio.

Modules that are right nearly as often as the backbone may still lose many a word, if their errors stand where a word
is begun or continued. Here every audio token of true speech is asked for twice, of the backbone and of whoever makes
it in an interleave mode, with the truth before it (teacher forcing), and counted by where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, ratio, relative
from labkit.study.contrast import padded
from labkit.study.script import Script, script


@dataclass(frozen=True)
class PlacedAudio:
    """One audio token of true speech.

    Attributes:
        utterance: its index in the corpus.
        in_word: how many of its word's tokens stand before it; None in silence.
        in_chunk: how many audio tokens stand before it since the last text.
        module: the MCTP module that makes it in the mode; None for the backbone.
        backbone: whether the true token is the backbone's likeliest.
        maker: whether it is the maker's likeliest.
    """

    utterance: int
    in_word: int | None
    in_chunk: int
    module: int | None
    backbone: bool
    maker: bool


Belongs = Callable[[PlacedAudio], bool]

WORD_PLACES: Mapping[str, Belongs] = MappingProxyType(
    {
        "silence": lambda token: token.in_word is None,
        "a word's first token": lambda token: token.in_word == 0,
        "its second and third": lambda token: token.in_word in (1, 2),
        "its fourth and later": lambda token: token.in_word is not None and token.in_word > 2,
    }
)
"""Every audio token belongs to one of them."""

CHUNK_PLACES: Mapping[str, Belongs] = MappingProxyType(
    {
        "first audio token after text": lambda token: token.in_chunk == 0,
        "later ones": lambda token: token.in_chunk > 0,
    }
)
"""Every audio token belongs to one of them."""


@torch.inference_mode()
def place_audio(
    system: SpeechSystem, utterances: Sequence[Utterance], mode: InterleaveMode, *, progress: bool = True
) -> list[PlacedAudio]:
    """Ask backbone and makers for the audio tokens of true speech, laid out as the mode's content says.

    Audio tokens that stand before the first row of their maker, near the start of a prompt, are left out.

    Raises:
        ScheduleError: the mode needs more modules than the model has.
        ValueError: as `labkit.study.script.script`.
    """
    mode.require_modules(system.model.num_modules)
    scripts = [script(system, each, mode) for each in utterances]
    order = sorted(range(len(scripts)), key=lambda index: len(scripts[index].ids))
    placed: dict[int, list[PlacedAudio]] = {}
    with tqdm(total=len(order), desc="word by word", unit="utterance", disable=not progress) as bar:
        for start in range(0, len(order), system.batch):
            chosen = order[start : start + system.batch]
            ids, mask = padded(system.model, [scripts[index].ids for index in chosen])
            stages = system.model(ids, attention_mask=mask).stages
            for row, index in enumerate(chosen):
                own = [stage[row] for stage in stages]
                placed[index] = list(_judged(system, scripts[index], mode, own, ids[row]))
            bar.update(len(chosen))
    return [token for index in range(len(scripts)) for token in placed[index]]


def _judged(
    system: SpeechSystem,
    said: Script,
    mode: InterleaveMode,
    stages: Sequence[torch.Tensor],
    ids: torch.Tensor,
) -> Iterator[PlacedAudio]:
    """The audio tokens of one script, from the final hidden states ``(positions, width)`` of each stage."""
    head, audio = system.model.head, torch.tensor(said.audio, device=ids.device)
    makers = [mode.maker(position - said.prompt) for position in said.audio]
    # Stage 0 is the backbone's, k + 1 module k's, and a token is made from one row further back by each.
    behind = [0 if maker is None else maker + 1 for maker in makers]
    rows = [position - 1 - back for position, back in zip(said.audio, behind, strict=True)]
    made = torch.stack([stages[back][max(row, 0)] for back, row in zip(behind, rows, strict=True)])
    true = ids[audio]
    by_backbone = (head(stages[0][audio - 1]).argmax(-1) == true).tolist()
    by_maker = (head(made).argmax(-1) == true).tolist()
    begins = {span.start: span for span in map(said.audio_of, range(len(said.words)))}
    word: range | None = None
    in_chunk = 0
    for place, position in enumerate(said.audio):
        word = begins.get(place, word)
        follows = place > 0 and said.audio[place - 1] == position - 1
        in_chunk = in_chunk + 1 if follows else 0
        if rows[place] < 0:
            continue
        yield PlacedAudio(
            utterance=said.utterance.index,
            in_word=place - word.start if word is not None and place in word else None,
            in_chunk=in_chunk,
            module=makers[place],
            backbone=by_backbone[place],
            maker=by_maker[place],
        )


class PlaceAccuracy(NamedTuple):
    """How often the true tokens of one place are the likeliest, with 95% intervals over utterances.

    Attributes:
        backbone: where the backbone is asked for every token.
        maker: where each token's maker is asked.
        relative: the second over the first.
    """

    backbone: Estimate
    maker: Estimate
    relative: Estimate


def accuracy_by_place(
    tokens: Sequence[PlacedAudio], places: Mapping[str, Belongs]
) -> dict[str, PlaceAccuracy]:
    """Accuracies by place; a place that fewer than two utterances have tokens in has no interval and is left out.

    Args:
        tokens: of `place_audio`.
        places: `WORD_PLACES`, `CHUNK_PLACES`, or places of one's own, by name, with what belongs to each.

    Raises:
        ValueError: the backbone is right nowhere in a place.
    """
    counts: dict[str, dict[int, list[int]]] = {name: {} for name in places}
    for token in tokens:
        for name, belongs in places.items():
            if belongs(token):
                own = counts[name].setdefault(token.utterance, [0, 0, 0])
                for at, counted in enumerate((True, token.backbone, token.maker)):
                    own[at] += counted
    accuracies = {}
    for name, by_utterance in counts.items():
        if len(by_utterance) < 2:
            continue
        targets, backbone, maker = zip(*by_utterance.values(), strict=True)
        if not any(backbone):
            raise ValueError(f"the backbone is never right about {name!r}: nothing to compare its makers to")
        accuracies[name] = PlaceAccuracy(
            ratio(backbone, targets), ratio(maker, targets), relative(maker, backbone)
        )
    return accuracies
