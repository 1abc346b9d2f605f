"""Model cards written from the numbers: what shipped weights are, what they learned on, and how well they do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open

_CODEC = """# Toy codec

16 kHz speech to 12.5 audio tokens per second from a single codebook of {codebook} and back: a supervised semantic
tokenizer, a flow-matching log-mel decoder and a harmonic-plus-noise vocoder with an inverse-STFT head, all causal but
for a declared look-ahead, so that streaming is exact. `labkit.audio.toy.ToyCodec.load()` loads it.

- **Weights**: {parameters:,} parameters, {megabytes:.1f} MB, half precision, safetensors.
- **Data**: the toy speech corpus, `CorpusSpec(sentences={sentences}, seed=0)`: {hours:.1f} hours of English and
  Mandarin by espeak-ng (voices en-us+f2 and cmn-latn-pinyin+f2), made by `python -m labkit.data`. Training split only.
- **Supervision**: the phoneme of every 16 ms frame, from espeak's events, and the log-mels themselves.
- **Recipe**: `{recipe}`
- **Command**: `python -m labkit.training.train_codec`, then `python -m labkit.evaluation.codec` for the numbers below.

It knows one synthetic voice and returns everything in it: a teaching instrument, not a codec for people's speech.

## Scores

Held-out utterances, half of them homograph probes. Step 0 is the original, before the codec: the judge's ceiling.
"Phonemes" and "readings" are the phoneme judge's verdict, "words" pocketsphinx's; 95% intervals in brackets.

{table}

True frames back to a waveform, {vocoder_n} utterances (smaller is better):

| measure | vocoder | Griffin-Lim | difference |
|---|---|---|---|
{vocoder}

Seconds of computing on one thread per second of speech: {speed}. Encoding and decoding ten minutes of speech takes
{memory} MB of memory on top of the loaded codec.
"""

_JUDGE = """# Phoneme judge

Hears phonemes, with tones in Mandarin, every 20 ms: a convolutional network with a CTC head.
`labkit.evaluation.recogniser.PhonemeJudge.load()` loads it.

- **Weights**: {parameters:,} parameters, {megabytes:.1f} MB, half precision, safetensors.
- **Data**: original espeak-ng speech of the toy speech corpus' training split, deformed on the way (gain, tilt, noise,
  gaps). It has never heard anything that a codec or a model of this lab made.
- **What it shares with what it judges**: espeak's voices and espeak's phoneme labels. It is independent of the
  codec's errors, not of the synthesiser. Pocketsphinx, whose acoustic model learned from people, is the second opinion
  in English.
- **Command**: `python -m labkit.evaluation.train_recogniser` (seed 1); scored by `python -m labkit.evaluation.codec`.

## Its own error on held-out originals

{table}
"""


def write_cards(codec: Path, judge: Path, scores: Mapping, *, sentences: int, hours: float) -> None:
    """Write `README.md` beside the weights in the folders `codec` and `judge`, from the numbers of an evaluation."""
    table = scores["table"]
    recipe = json.loads((codec / "recipe.json").read_text(encoding="utf-8"))
    vocoder = scores["vocoder"]
    measures = ("log-mel distance", "multi-resolution STFT distance")
    text = _CODEC.format(
        codebook=recipe["codebook_size"],
        sentences=sentences,
        hours=hours,
        recipe=", ".join(f"{name}={value}" for name, value in recipe.items()),
        table=_table(table),
        vocoder_n=next(iter(vocoder.values()))["n"],
        vocoder="\n".join(
            f"| {m} | {' | '.join(_cell(vocoder[f'{m}, {n}'], 3) for n in ('vocoder', 'Griffin-Lim', 'difference'))} |"
            for m in measures
        ),
        speed=", ".join(f"{name} {value:.3f}" for name, value in scores["speed"].items()),
        memory=scores["peak megabytes for ten minutes of speech"],
        **_size(codec),
    )
    (codec / "README.md").write_text(text, encoding="utf-8")
    originals = [row for row in table if row["steps"] == "original"]
    (judge / "README.md").write_text(_JUDGE.format(table=_table(originals), **_size(judge)), encoding="utf-8")


def _size(folder: Path) -> dict[str, float]:
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        parameters = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118, not a dict
    return {"parameters": parameters, "megabytes": path.stat().st_size / 1e6}


def _table(rows: Sequence[Mapping]) -> str:
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    lines = [f"| language | Euler steps | {' | '.join(measures)} |", "|---" * (len(measures) + 2) + "|"]
    for key in dict.fromkeys((row["language"], row["steps"]) for row in rows):
        found = {row["measure"]: row for row in rows if (row["language"], row["steps"]) == key}
        cells = [
            _cell(found[m], 4 if "rate" in m or "accuracy" in m else 3) if m in found else "-"
            for m in measures
        ]
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(estimate: Mapping, digits: int) -> str:
    return f"{estimate['value']:.{digits}f} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"
