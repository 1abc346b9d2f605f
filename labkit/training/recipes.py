"""The recipes that train the lab's own models, as data: corpus, size, and how long each stage runs.

`toy` is for two CPU cores and the codec that ships; `small` is the same recipe for one GPU, with more voices, a codec
of its own for them, and a larger model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.data.corpus import CorpusSpec
from labkit.data.export import ExportSpec
from labkit.data.mixture import TOY_MIXTURE, Dataset, with_ratios
from labkit.training.loop import LoopSettings
from labkit.training.stages import Part
from labkit.training.train_codec import CodecRecipe


@dataclass(frozen=True)
class Deepening:
    """Layers put on top of stage 1's backbone, which alone learn while all below them stays as it is.

    What a backbone of few layers finds out last, such as which sense of a homograph is meant, stands at the very top of
    its stack, where no layer is left to carry it over to the audio.

    Attributes:
        layers: to add, changing nothing at first (`labkit.model.growth.grow_backbone`).
        settings: of the training that follows, on the mixture of stage 2: the frozen layers cannot forget their text.
    """

    layers: int
    settings: LoopSettings


@dataclass(frozen=True)
class Listening:
    """Recognition, which the backbone goes on to learn after stage 1, before it gets its modules.

    Stage 1 gives recognition a tenth of its targets, and from that a backbone this small does not learn to listen. To
    give it more there would cost the reading of homographs, which stage 1's model is looked at for. What the backbone
    knows from text it has to meet here too, or it forgets it: questions in writing are for that.

    Attributes:
        ratios: sampling ratio by dataset.
        settings: of the training.
    """

    ratios: dict[str, float]
    settings: LoopSettings


@dataclass(frozen=True)
class Annealing:
    """What stage 4 ends with: a short training on more of what still goes wrong, and the mean of both models' weights.

    Long sentences are rare, and in Mandarin the toy leaves out the last words of many. Trained on more of them it gets
    better at some things and worse at others. The mean of its weights before and after has the best of both: on 300
    validation sentences of each language Vanilla has 4.2% of the English phonemes wrong before, 4.0% after and 3.7% in
    the mean (Mandarin 1.6, 2.0, 1.6), and Boost 5.0, 5.8 and 4.9% (3.2, 3.2, 2.5).

    Attributes:
        ratios: sampling ratio by dataset.
        settings: of the training.
        kept: share of the weights before it in the mean of both that the stage ends with.
    """

    ratios: dict[str, float]
    settings: LoopSettings
    kept: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= 1:
            raise ValueError(f"kept is a share of the weights, from 0 to 1, got {self.kept}")


@dataclass(frozen=True)
class Distillation:
    """What stage 4 may end with: the chain alone learns on, beside its tokens to have the backbone's states.

    Token losses leave the modules' states in the prompt to themselves, and what the backbone has understood there, such
    as how a homograph is read, hardly reaches them. With states it does, and Boost reads more homographs; but no more
    than after as many steps on tokens alone (`labkit.study.chain_reading`).

    The toy does not end so.

    Attributes:
        ratios: sampling ratio by dataset.
        settings: of the training.
        state_weight: of the loss on states (`labkit.model.losses.speech_losses`).
    """

    ratios: dict[str, float]
    settings: LoopSettings
    state_weight: float = 1.0


_PARTS = ("deepening", "listening", "annealing", "distillation")


@dataclass(frozen=True)
class Recipe:
    """What decides a model beside the codec.

    Attributes:
        name: of its folder.
        size: shape of the backbone, one of `labkit.model.sizes.SIZES`.
        corpus: the speech.
        texts: how much text-only material, per language.
        text_vocabulary: most text tokens.
        row_tokens: length of a packed row.
        modes: whose content layouts the targets have, drawn sample by sample. Boost and Balance stand for all
            four: Turbo has Boost's layout and Vanilla Balance's.
        stages: how long and how fast each stage runs.
        mixture: what each stage draws, and how often.
        layers: of the backbone; None for as many as the size has.
        deepening: how the backbone grows at the end of stage 1; None for not at all.
        listening: what the backbone learns between stages 1 and 2; None for nothing of its own.
        annealing: how the backbone ends stage 4; None for as it began.
        distillation: how the chain ends stage 4; None for as the backbone does, as the paper's and the toy's do.
        random_module: whether the first module's layer starts from random weights, and not as a copy of the
            backbone's last (section 3.3.2). Where the backbone's weights have grown large, a copy learns far more
            slowly: `notebooks/06-training-mctp.ipynb` trains both.
        codec: how its codec is trained, where the one that ships does not know its voices.
        seed: of the first weights, the mixture and the packing.
    """

    name: str
    size: str
    corpus: CorpusSpec
    texts: ExportSpec
    text_vocabulary: int
    row_tokens: int
    modes: tuple[str, ...]
    stages: dict[int, LoopSettings]
    mixture: tuple[Dataset, ...] = TOY_MIXTURE
    layers: int | None = None
    deepening: Deepening | None = None
    listening: Listening | None = None
    annealing: Annealing | None = None
    distillation: Distillation | None = None
    random_module: bool = False
    codec: CodecRecipe | None = None
    seed: int = 0

    def scaled(self, factor: float) -> Recipe:
        """The same recipe with every stage's steps multiplied, at least one each; for rehearsals and lessons."""

        def shorter(settings: LoopSettings) -> LoopSettings:
            return replace(settings, steps=max(1, round(settings.steps * factor)))

        stages = {number: shorter(settings) for number, settings in self.stages.items()}
        own = {name: part for name in _PARTS if (part := getattr(self, name))}
        changed = {name: replace(part, settings=shorter(part.settings)) for name, part in own.items()}
        return replace(self, stages=stages, **changed)


_TOY_SETTINGS = LoopSettings(steps=3000, rows=4, learning_rates={Part.BACKBONE: 2e-3}, optimizer="muon")

_LISTENING_RATIOS = {
    "asr": 1.5,
    "asr-clips": 0.5,
    "tts": 1.0,
    "speech-qa": 2.0,
    "text": 0.2,
    "text-qa": 16.0,
    "readings": 0.8,
}

_ANNEALING_RATIOS = {
    "asr": 0.5,
    "tts": 0.25,
    "tts-long": 8.0,
    "speech-qa": 2.0,
    "text": 0.1,
    "text-qa": 8.0,
    "long-text": 0.1,
    "repeat": 0.1,
    "readings": 0.1,
}

_FINE_TUNING = replace(
    _TOY_SETTINGS, steps=2200, rows=8, learning_rates={Part.BACKBONE: 1e-3, Part.CHAIN: 2e-3}
)


def _in_both_languages(ratios: dict[str, float]) -> dict[str, float]:
    return {f"{name}-{language}": ratio for name, ratio in ratios.items() for language in ("en", "cmn")}


TOY = Recipe(
    name="toy",
    size="toy",
    corpus=CorpusSpec(sentences=56_000, prosody="even", coverage=False, pairs=True),
    texts=ExportSpec(texts=60_000, documents=6_000, readings=30_000, clips=20_000),
    text_vocabulary=3584,
    row_tokens=288,
    modes=("boost", "balance"),
    deepening=Deepening(layers=2, settings=replace(_TOY_SETTINGS, steps=8000, rows=8)),
    listening=Listening(
        ratios=_in_both_languages(_LISTENING_RATIOS), settings=replace(_TOY_SETTINGS, steps=7000, rows=8)
    ),
    annealing=Annealing(
        ratios=_in_both_languages(_ANNEALING_RATIOS),
        settings=replace(_FINE_TUNING, steps=600, learning_rates={Part.BACKBONE: 5e-4, Part.CHAIN: 1e-3}),
        kept=0.5,
    ),
    random_module=True,
    stages={
        0: replace(_TOY_SETTINGS, steps=2500),
        1: replace(_TOY_SETTINGS, steps=8000),
        2: replace(_TOY_SETTINGS, steps=1500, learning_rates={Part.CHAIN: 3e-3}),
        3: replace(_TOY_SETTINGS, steps=500, learning_rates={Part.CHAIN: 2e-3}),
        4: _FINE_TUNING,
    },
)

SMALL_VOICES = (
    ("en", ("en-us+f2", "en-us+m3", "en-gb+f4", "en-gb+m7")),
    ("cmn", ("cmn-latn-pinyin+f2", "cmn-latn-pinyin+m3", "cmn-latn-pinyin+f4", "cmn-latn-pinyin+m7")),
)

_SMALL_SETTINGS = LoopSettings(
    steps=1000, rows=32, batch_rows=32, learning_rates={Part.BACKBONE: 1e-3}, optimizer="muon"
)

SMALL = Recipe(
    name="small",
    size="small",
    corpus=CorpusSpec(sentences=60_000, voices=SMALL_VOICES, prosody="even"),
    texts=ExportSpec(texts=60_000, documents=6_000),
    text_vocabulary=4096,
    row_tokens=2048,
    codec=CodecRecipe(
        utterances=30_000,
        codebook_size=8192,
        tokenizer_steps=12_000,
        flow_steps=8000,
        vocoder_steps=6000,
        vocoder_utterances=4000,
        even_steps=3000,
        even_utterances=30_000,
    ),
    modes=("boost", "balance"),
    mixture=with_ratios(
        TOY_MIXTURE, lambda each: each.name in ("asr-en", "asr-cmn"), {1: 1.0, 2: 1.0, 3: 1.0}
    ),
    stages={
        0: _SMALL_SETTINGS,
        1: replace(_SMALL_SETTINGS, steps=4000),
        2: replace(_SMALL_SETTINGS, steps=400, batch_rows=16, learning_rates={Part.CHAIN: 1e-3}),
        3: replace(_SMALL_SETTINGS, steps=1000, batch_rows=16, learning_rates={Part.CHAIN: 1e-3}),
        4: replace(
            _SMALL_SETTINGS,
            steps=800,
            batch_rows=16,
            learning_rates={Part.BACKBONE: 2e-4, Part.CHAIN: 2e-4},
        ),
    },
)

RECIPES = {recipe.name: recipe for recipe in (TOY, SMALL)}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]
