"""The logit lens, with the vocabulary split in text and audio: what would each layer say if it were the last?

The residual stream leaving a layer is put through the final norm and the head, which were made for the last layer
alone (nostalgebraist 2020, "interpreting GPT: the logit lens"). In a speech language model the answer has two parts:
how much of the probability is on text, on audio and on tags, and which audio token leads. Audio can be decoded, so
that a layer can be heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from labkit.evaluation.answers import SpeechSystem
from labkit.model import SpeechLM
from labkit.model.attention import precise
from labkit.study.contrast import Contrast, batches, padded, read


@dataclass(frozen=True)
class LensRow:
    """One layer's view of one parting token.

    Attributes:
        utterance: its index in the corpus.
        homograph: the word.
        layer: of the backbone.
        text: share of the probability on text.
        audio: on audio.
        tags: on special tokens, and on rows of the head that no id uses.
        log_odds: of the two readings' tokens, in nats, positive for the text's own.
        top: the leading audio token, as a codebook entry.
        rank: of the text's own reading among the audio tokens, 0 if it leads.
    """

    utterance: int
    homograph: str
    layer: int
    text: float
    audio: float
    tags: float
    log_odds: float
    top: int
    rank: int


def lens_hooks(model: SpeechLM) -> list[str]:
    """The residual stream leaving each layer of the backbone."""
    return [f"backbone.{layer}.resid_post" for layer in range(model.config.num_hidden_layers)]


@torch.inference_mode()
def look_through(model: SpeechLM, stream: torch.Tensor) -> torch.Tensor:
    """Logits ``(..., vocab_size)`` of a residual stream ``(..., hidden)``, as if its layer were the last."""
    with precise(stream.device):
        return model.head(model.backbone.model.norm(stream.to(model.device)))


@torch.inference_mode()
def logit_lens(
    system: SpeechSystem, contrasts: Sequence[Contrast], *, swapped: bool = False, progress: bool = True
) -> list[LensRow]:
    """Look at the row before each parting token through every layer of the backbone.

    Args:
        system: the model with its tokenizer and codec.
        contrasts: minimal pairs.
        swapped: whether the swapped text is read.
        progress: show a bar.

    Returns:
        Rows by contrast and layer. Where an MCTP module makes the parting token, the backbone's own row is none
        that predicts it; take contrasts of a mode in which the backbone makes all.

    Raises:
        ValueError: a module makes one of the parting tokens.
    """
    if any(each.stage for each in contrasts):
        raise ValueError("an MCTP module makes one of the parting tokens; take contrasts in vanilla mode")
    model, vocabulary = system.model, system.vocabulary
    names = lens_hooks(model)
    ids = torch.arange(model.config.vocab_size)
    kinds = vocabulary.is_text(ids), vocabulary.is_audio(ids)
    found: dict[int, list[LensRow]] = {}
    for rows in batches(system, contrasts, progress=progress, title="looking through the lens"):
        batch = [contrasts[row] for row in rows]
        last = sorted({each.row for each in batch})
        with model.traced(names, positions=last) as trace:
            read(model, batch, swapped=swapped)
        place = [last.index(each.row) for each in batch]
        for layer, name in enumerate(names):
            stream = trace[name][torch.arange(len(batch)), place]
            logits = look_through(model, stream).float().cpu()
            shares = logits.softmax(-1)
            heard = logits[:, vocabulary.audio_offset : vocabulary.size]
            for index, row in enumerate(rows):
                each = contrasts[row]
                own, other = each.tokens
                text, audio = (float(shares[index, kind].sum()) for kind in kinds)
                found.setdefault(row, []).append(
                    LensRow(
                        utterance=each.utterance.index,
                        homograph=each.homograph,
                        layer=layer,
                        text=text,
                        audio=audio,
                        tags=max(0.0, 1 - text - audio),
                        log_odds=float(logits[index, own] - logits[index, other]),
                        top=int(heard[index].argmax()),
                        rank=int((heard[index] > logits[index, own]).sum()),
                    )
                )
    return [row for index in range(len(contrasts)) for row in found[index]]


@torch.inference_mode()
def layer_speech(system: SpeechSystem, contrasts: Sequence[Contrast]) -> list[list[tuple[int, ...]]]:
    """What each layer would say of the homograph, as codebook entries: its leading audio token at every step.

    The audio before each step is what the whole model said with the text as it is, so layers differ in the step alone.

    Returns:
        For each contrast, layer by layer, as many audio tokens as its span has.
    """
    model, vocabulary = system.model, system.vocabulary
    names = lens_hooks(model)
    spoken: dict[int, list[tuple[int, ...]]] = {}
    for rows in batches(system, contrasts):
        batch = [contrasts[row] for row in rows]
        texts, wanted = zip(*(_said(system, each) for each in batch), strict=True)
        ids, mask = padded(model, texts)
        kept = sorted({position for each in wanted for position in each})
        with model.traced(names, positions=kept) as trace:
            model(ids, attention_mask=mask, modules=0)
        audio = slice(vocabulary.audio_offset, vocabulary.size)
        for index, row in enumerate(rows):
            places = [kept.index(position) for position in wanted[index]]
            spoken[row] = [
                tuple(look_through(model, trace[name][index, places])[:, audio].argmax(-1).tolist())
                for name in names
            ]
    return [spoken[index] for index in range(len(contrasts))]


def _said(system: SpeechSystem, contrast: Contrast) -> tuple[list[int], list[int]]:
    """A script with what the model said in the span, and the rows that predict it."""
    script = contrast.script
    ids = list(script.ids)
    for place, token in zip(contrast.span, system.vocabulary.audio_ids(contrast.said), strict=True):
        ids[script.audio[place]] = token
    return ids[: script.audio[contrast.span[-1]]], [script.audio[place] - 1 for place in contrast.span]
