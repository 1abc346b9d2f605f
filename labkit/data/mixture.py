"""Which samples an epoch draws: sampling ratios by dataset and stage, the paper's (Table 2) and the toy's.

A dataset with ratio 2.0 gives every sample twice an epoch, one with 0.05 a random twentieth, another one each epoch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

ASR, TTS, SPEECH_QA, TEXT, LONG_TEXT = "ASR", "TTS", "speech QA", "text", "long text"
TASKS = (ASR, TTS, SPEECH_QA, TEXT, LONG_TEXT)


@dataclass(frozen=True)
class Dataset:
    """A dataset's share in each training stage.

    Attributes:
        name: the name of its JSONL file, without the suffix, where it is the toy's.
        task: one of `TASKS`.
        ratios: sampling ratio by stage.
        hours: of speech, where the paper says so.
        samples: their number, where the paper says so.
    """

    name: str
    task: str
    ratios: Mapping[int, float]
    hours: int | None = None
    samples: int | None = None


def _rows(task: str, ratios: Mapping[int, float], unit: str, **sizes: int) -> tuple[Dataset, ...]:
    return tuple(Dataset(name, task, ratios, **{unit: size}) for name, size in sizes.items())


_THROUGHOUT = {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.05}
_LAST = {1: 0.0, 2: 0.0, 3: 0.0, 4: 2.0}

PAPER_MIXTURE = (
    *_rows(
        ASR, _THROUGHOUT, "hours",
        **{
            "WenetSpeech": 10_000, "Librispeech": 1_000, "Multilingual LibriSpeech": 71_506,
            "Common Voice 17": 2_849, "MMCRSC": 755, "GigaSpeech": 10_000, "People's Speech": 1_000,
            "VoxPopuli": 543, "AISHELL-1": 170, "AISHELL-2": 1_000, "AISHELL-3": 85, "AISHELL-4": 120,
        },
    ),
    *_rows(
        TTS, _THROUGHOUT, "hours",
        **{"Wenetspeech4TTS": 12_800, "LibriTTS": 585, "GLOBE": 535, "Emilia": 96_700},
    ),
    *_rows(
        SPEECH_QA, _LAST, "samples",
        **{"VoiceAssistant-400K": 400_000, "AudioQA-1.0M": 1_000_000},
    ),
    *_rows(
        TEXT, _THROUGHOUT, "samples",
        **{
            "OpenHermes-2.5": 1_000_000, "LIMA": 1_000, "databricks-dolly-15k": 15_000, "MetaMathQA": 395_000,
            "MathInstruct": 262_000, "Orca-Math": 200_000, "atlas-math-sets": 17_800_000, "goat": 1_700_000,
            "camel-ai-math": 50_000,
        },
    ),
    *_rows(
        LONG_TEXT, _THROUGHOUT, "samples",
        **{
            "Long-Instruction": 16_000, "LongForm": 23_000, "LongAlign-10k": 10_000, "LongCite-45k": 45_000,
            "LongWriter-6k": 6_000, "LongQLoRA": 39_000, "LongAlpaca": 12_000, "Long-Data-Collections": 98_000,
        },
    ),
)  # fmt: skip
"""Table 2 of the paper, row by row. It prints Common Voice's hours as "2.849H"."""

_TOY_RATIOS = {
    "asr": (ASR, {0: 0.0, 1: 0.25, 2: 0.25, 3: 0.25, 4: 0.75}),
    "asr-clips": (ASR, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}),
    "asr-coverage": (ASR, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}),
    "tts": (TTS, {0: 0.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}),
    "tts-coverage": (TTS, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}),
    "tts-long": (TTS, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}),
    "speech-qa": (SPEECH_QA, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 4.0}),
    "text": (TEXT, {0: 1.0, 1: 0.6, 2: 0.2, 3: 0.2, 4: 0.1}),
    "text-qa": (TEXT, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 16.0}),
    "long-text": (LONG_TEXT, {0: 1.0, 1: 0.3, 2: 0.1, 3: 0.1, 4: 0.1}),
    "repeat": (TEXT, {0: 1.0, 1: 0.4, 2: 0.1, 3: 0.1, 4: 0.1}),
    "readings": (TEXT, {0: 1.0, 1: 0.4, 2: 0.1, 3: 0.1, 4: 0.1}),
}

TOY_MIXTURE = tuple(
    Dataset(f"{name}-{language}", task, ratios)
    for name, (task, ratios) in _TOY_RATIOS.items()
    for language in ("en", "cmn")
)
"""The toy's datasets, as `labkit.data.export` writes them.

Stage 0, which stands in for the pre-training of the paper's backbone, reads text only, among it texts to repeat, from
which a model learns to copy, and texts that tell a homograph's reading beside it. A model this small learns the words
that it meets and not to read letters, so the random words of the coverage sentences are left to the codec. Up to stage
3 it is to write down a quarter of what it is to say; what it draws where it goes on to listen between stages 1 and 2,
short clips among it, is the recipe's (`labkit.training.recipes.Listening`), and so is what stage 4 ends with, when it
draws the longest sentences far more often (`labkit.training.recipes.Annealing`). Stages 2 and 3 draw less text, which
the frozen backbone cannot forget and the modules are not for. Its speech QA is a tenth of its speech, so stage 4 draws
it four times an epoch where the paper draws it twice, and keeps larger shares of the rest, lest it be forgotten. What
it is asked there, above all how much two numbers make, it knew from text before it learned to listen and forgot
meanwhile: so the questions are drawn in writing, too, as the paper's text has arithmetic in every stage."""


def with_ratios(
    mixture: tuple[Dataset, ...], chosen: Callable[[Dataset], bool], ratios: Mapping[int, float]
) -> tuple[Dataset, ...]:
    """The mixture with other ratios, by stage, for the datasets that are chosen."""
    return tuple(
        replace(each, ratios=dict(each.ratios) | dict(ratios)) if chosen(each) else each for each in mixture
    )


def ratios_of(mixture: tuple[Dataset, ...], stage: int) -> dict[str, float]:
    """Sampling ratio by dataset in a stage, those that the stage leaves out not listed.

    Raises:
        ValueError: the mixture has no such stage.
    """
    stages = mixture[0].ratios
    if stage not in stages:
        raise ValueError(f"this mixture has no stage {stage}: choose from {', '.join(map(str, stages))}")
    return {each.name: each.ratios[stage] for each in mixture if each.ratios[stage]}


def epoch_order(
    sizes: Mapping[str, int], ratios: Mapping[str, float], seed: int, epoch: int
) -> list[tuple[str, int]]:
    """The samples of an epoch as (dataset, index), shuffled; the same for the same seed and epoch.

    A fraction is drawn without replacement. Where it is no whole number of samples, chance decides on one more, so
    that the ratio holds over many epochs however small the dataset.

    Args:
        sizes: number of samples by dataset.
        ratios: sampling ratio by dataset; a dataset left out is not drawn.

    Raises:
        ValueError: a ratio that is negative or no number, or for a dataset that does not exist.
    """
    drawn = []
    for name, ratio in sorted(ratios.items()):
        if name not in sizes:
            raise ValueError(
                f"there is a sampling ratio for {name!r}, but no such dataset; there are {', '.join(sizes)}"
            )
        if not 0 <= ratio < math.inf:
            raise ValueError(f"the sampling ratio of {name!r} must be a number from 0 up, got {ratio}")
        # A generator of its own, so that one dataset's ratio does not move the draws of another.
        rng = random.Random(f"{seed}/{epoch}/{name}")
        size, times = sizes[name], math.floor(ratio)
        part = math.floor(round((ratio - times) * size, 6) + rng.random())
        chosen = [*range(size)] * times + rng.sample(range(size), min(part, size))
        drawn += [(name, index) for index in chosen]
    random.Random(f"{seed}/{epoch}").shuffle(drawn)
    return drawn
