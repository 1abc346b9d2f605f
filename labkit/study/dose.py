"""Is it language modelling that makes the claim of Fig. 1b true? Backbones with other doses of it, masked alike.

    python -m labkit.study.dose --doses 0 300 2500 --seeds 0 1 --out labkit/study/results/dose-response.json

Each arm trains a backbone through stages 0 and 1 of the toy recipe, stage 0 as long as its dose says, and puts the same
held-out homographs to it: the masking study, and a linear probe of the reading at the homograph's own token. With the
toy's own dose, steps and seed that is the backbone on top of which `speech-lm-stage-1` has put its last layers. Arms
that are in the file are not trained again; trainings that were stopped go on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from labkit.data.corpus import generate
from labkit.data.mixture import LONG_TEXT, TEXT, with_ratios
from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.interleave import VANILLA
from labkit.model import load_speech_lm
from labkit.statistics import Estimate, clustered_mean, clustered_proportion
from labkit.study.finished import add_finished, finished_arms, read_finished
from labkit.study.masking import draw_firsts, mask_homographs
from labkit.study.reading_probe import probe_readings
from labkit.training.pipeline import Pipeline
from labkit.training.recipes import TOY, Recipe

RESULTS = Path(__file__).parent / "results" / "dose-response.json"
PROBE_SENTENCES = 1500
EXAMPLES = 12
"""Homographs in each language whose audio tokens are kept, to be heard without the backbone that said them."""


@dataclass(frozen=True)
class Arm:
    """One training of a backbone.

    Attributes:
        dose: optimizer steps of text pre-training (stage 0); 0 for random weights.
        mixed: whether stage 1 goes on drawing text beside speech.
        layers: of the backbone; None for the toy's.
        seed: of weights and data order.
        steps: of stage 1.
    """

    dose: int
    mixed: bool = True
    layers: int | None = None
    seed: int = 0
    steps: int = TOY.stages[1].steps

    def recipe(self, base: Recipe = TOY) -> Recipe:
        """The toy's recipe, changed as the arm says."""
        mixture = base.mixture
        if not self.mixed:
            mixture = with_ratios(mixture, lambda each: each.task in (TEXT, LONG_TEXT), {1: 0.0})
        stages = {
            0: replace(base.stages[0], steps=max(1, self.dose)),
            1: replace(base.stages[1], steps=self.steps),
        }
        shape = {"layers": self.layers, "deepening": None}
        return replace(base, stages=stages, mixture=mixture, seed=self.seed, **shape)


@dataclass(frozen=True)
class DoseRow:
    """One homograph under one condition.

    Attributes:
        arm: which backbone said it.
        language: "en" or "cmn".
        utterance: index in the corpus.
        homograph: the word.
        distance: words from the deciding word to the homograph.
        condition: of `labkit.study.masking.CONDITIONS`, by name.
        right: whether it was read as the text means it.
        babble: whether it was hardly a word.
    """

    arm: Arm
    language: str
    utterance: int
    homograph: str
    distance: int
    condition: str
    right: bool
    babble: bool


@dataclass(frozen=True)
class DoseResults:
    """What all arms together found.

    Attributes:
        rows: of the masking study.
        probes: by arm and language, how often a linear probe tells the reading, by layer.
        codes: of some rows, the audio tokens that were judged.
    """

    rows: tuple[DoseRow, ...]
    probes: dict[tuple[Arm, str], tuple[Estimate, ...]]
    codes: dict[DoseRow, tuple[int, ...]] = field(default_factory=dict)

    @property
    def arms(self) -> list[Arm]:
        """The backbones, in the order of their training."""
        return list(dict.fromkeys(row.arm for row in self.rows))

    def read_as_meant(
        self, language: str, condition: str, arms: Iterable[Arm], distance: int | None = None
    ) -> Estimate:
        """Share read as meant over these arms' seeds, with an interval that knows that homographs come in groups.

        Args:
            distance: only homographs that many words after the deciding word.
        """
        return self._share("right", language, condition, arms, distance)

    def gain(self, language: str, condition: str, arms: Iterable[Arm], without: Iterable[Arm]) -> Estimate:
        """By how much more is read as meant by some arms than by others, homograph by homograph in its sentence.

        Raises:
            ValueError: the arms were not asked the same.
        """
        mean = [self._mean_by_utterance(language, condition, each) for each in (arms, without)]
        if mean[0].keys() != mean[1].keys():
            raise ValueError(f"these arms were not asked the same homographs ({language}, {condition!r})")
        words = {row.utterance: row.homograph for row in self.rows if row.language == language}
        gains = [mean[0][utterance] - mean[1][utterance] for utterance in mean[0]]
        return clustered_mean(gains, [words[utterance] for utterance in mean[0]])

    def babble(self, language: str, condition: str, arms: Iterable[Arm]) -> Estimate:
        """Share that is hardly a word."""
        return self._share("babble", language, condition, arms, None)

    def best_probe(self, language: str, arms: Sequence[Arm]) -> Estimate:
        """How often the linear probe tells the reading, the mean of these arms' seeds, at the layer best for all.

        Its interval is the widest of theirs around that mean: the seeds' sentences are the same.
        """
        by_arm = [self.probes[arm, language] for arm in arms]
        layers = list(zip(*by_arm, strict=True))
        best = max(layers, key=lambda layer: sum(each.value for each in layer))
        value = sum(each.value for each in best) / len(best)
        return Estimate(
            value,
            max(0.0, value - max(each.value - each.low for each in best)),
            min(1.0, value + max(each.high - each.value for each in best)),
            best[0].n,
        )

    def _mean_by_utterance(self, language: str, condition: str, arms: Iterable[Arm]) -> dict[int, float]:
        arms = set(arms)
        right: dict[int, list[bool]] = {}
        for row in self.rows:
            if row.arm in arms and (row.language, row.condition) == (language, condition):
                right.setdefault(row.utterance, []).append(row.right)
        return {utterance: sum(each) / len(each) for utterance, each in right.items()}

    def _share(
        self, what: str, language: str, condition: str, arms: Iterable[Arm], distance: int | None
    ) -> Estimate:
        arms = set(arms)
        rows = [
            row
            for row in self.rows
            if row.arm in arms
            and (row.language, row.condition) == (language, condition)
            and distance in (None, row.distance)
        ]
        return clustered_proportion([getattr(row, what) for row in rows], [row.homograph for row in rows])


def run_arm(
    arm: Arm, languages: Sequence[str], probes: int, folder: Path | None = None, base: Recipe = TOY
) -> dict:
    """Train an arm's backbone, where that is not done yet, and examine it.

    Args:
        probes: homographs in sentences, in each language, at most.
        folder: of checkpoints and models; None for the cache folder.

    Returns:
        What `read_results` reads, as JSON's types.
    """
    pipeline = Pipeline(arm.recipe(base), folder, pretrained=arm.dose > 0)
    model = pipeline.run([0, 1] if arm.dose else [1])
    system = SpeechSystem(
        load_speech_lm(model, dtype=torch.float32, tell=None).eval(), pipeline.tokenizer, pipeline.codec
    )
    listener = Listener(pipeline.codec, PhonemeJudge.load())
    corpus = generate(arm.recipe(base).corpus)
    result = {"arm": asdict(arm), "rows": [], "probes": {}, "codes": {}}
    for language in languages:
        firsts = draw_firsts(corpus.probes(language))[:probes]
        distances = {first.index: first.homograph.distance for first, _ in firsts}
        told = mask_homographs(system, listener, firsts, VANILLA)
        result["rows"] += [
            [
                language,
                row.utterance,
                row.homograph,
                distances[row.utterance],
                row.condition,
                row.right,
                row.verdict.babble,
            ]
            for row in told
        ]
        kept = {first.index for first, _ in firsts[:EXAMPLES]}
        result["codes"][language] = [
            [row.utterance, row.condition, row.codes] for row in told if row.utterance in kept
        ]
        train = [corpus[i] for i in corpus.indices(language=language, split="train", kind="homograph")]
        both = [utterance for pair in firsts for utterance in pair]
        result["probes"][language] = probe_readings(system, train[:PROBE_SENTENCES], both, VANILLA)
    return result


def read_results(path: Path = RESULTS) -> DoseResults:
    """The results in a file that `python -m labkit.study.dose` wrote.

    Raises:
        FileNotFoundError: it did not.
    """
    rows: list[DoseRow] = []
    probes: dict[tuple[Arm, str], tuple[Estimate, ...]] = {}
    codes: dict[DoseRow, tuple[int, ...]] = {}
    for result in read_finished(path, "python -m labkit.study.dose"):
        arm = Arm(**result["arm"])
        own = [DoseRow(arm, *row) for row in result["rows"]]
        places = {(row.language, row.utterance, row.condition): row for row in own}
        rows += own
        codes |= {
            places[language, utterance, condition]: tuple(said)
            for language, examples in result["codes"].items()
            for utterance, condition, said in examples
        }
        probes |= {
            (arm, name): tuple(Estimate(*each) for each in by) for name, by in result["probes"].items()
        }
    return DoseResults(tuple(rows), probes, codes)


def main(typed: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.study.dose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--doses",
        type=int,
        nargs="+",
        default=[0, 300, TOY.stages[0].steps],
        help="optimizer steps of stage 0",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[None], help="of the backbone; the toy's unless given"
    )
    parser.add_argument(
        "--unmixed", action="store_true", help="no text in stage 1, in place of the recipe's share"
    )
    parser.add_argument("--steps", type=int, default=Arm.steps, help="optimizer steps of stage 1")
    parser.add_argument("--languages", nargs="+", default=list(TOY.corpus.languages))
    parser.add_argument("--probes", type=int, default=300, help="homographs in sentences, in each language")
    parser.add_argument("--folder", type=Path, help="of checkpoints and models; the cache unless given")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(typed)
    torch.set_num_threads(options.threads)
    arms = [
        Arm(dose, not options.unmixed, layers, seed, options.steps)
        for seed, layers, dose in itertools.product(options.seeds, options.layers, options.doses)
    ]
    done = {Arm(**each) for each in finished_arms(options.out)}
    left = [arm for arm in arms if arm not in done]
    print(
        f"{len(arms)} arms, {len(left)} to train: {sum(arm.dose + arm.steps for arm in left):,} optimizer steps"
    )
    for arm in left:
        print(arm)
        add_finished(options.out, run_arm(arm, options.languages, options.probes, options.folder))
    results = read_results(options.out)
    for arm in arms:
        for language in options.languages:
            shares = {
                condition: f"{results.read_as_meant(language, condition, [arm]).value:.0%}"
                for condition in dict.fromkeys(row.condition for row in results.rows)
            }
            best = max(each.value for each in results.probes[arm, language])
            print(arm, language, shares, f"linear probe {best:.0%}")


if __name__ == "__main__":
    main()
