"""Does a chain that has the backbone's states read homographs as the backbone does? Chains trained on with and without.

    python -m labkit.study.chain_reading --arms 300:0 300:1 1600:0 1600:1 2000:1:all

Every arm trains the chain of the toy's stage 4 on, its backbone held, on tokens alone (weight 0) or on the backbone's
states too (`labkit.training.recipes.Distillation`), nearly all of it on what is to be said, or with as much to be heard
as stage 4 has (`all`). Then it asks where in the chain a linear probe finds the reading of a homograph, and how Boost
reads it, by who begins the word. Arms that are in the file are not trained again.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from labkit.data.corpus import generate
from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.interleave import BOOST
from labkit.model import load_speech_lm
from labkit.statistics import Estimate, clustered_mean, clustered_proportion
from labkit.study.finished import add_finished, finished_arms, read_finished
from labkit.study.masking import FULL, Probe, draw_firsts, mask_homographs
from labkit.study.reading_probe import ProbeRow, by_layer, chain_states, probe
from labkit.training.pipeline import Pipeline
from labkit.training.recipes import TOY, Distillation, Recipe
from labkit.training.stages import Part

Makers = Collection[int | None]

DRAWN = {
    "speech": {"tts": 1.0, "tts-long": 1.0, "asr": 0.25, "speech-qa": 1.0},
    "all": {"tts": 1.0, "tts-long": 1.0, "asr": 0.75, "speech-qa": 4.0},
}
"""What an arm may draw, by dataset: nearly only what is to be said, or as much recognition and as many spoken questions
beside it as stage 4 draws."""

RESULTS = Path(__file__).parent / "results" / "chain-reading.json"


@dataclass(frozen=True)
class Arm:
    """One way of training the chain on.

    Attributes:
        steps: optimizer steps; 0 for the chain as it was.
        state_weight: of the loss on the backbone's states.
        drawn: what it learns from, one of `DRAWN`.
    """

    steps: int = 0
    state_weight: float = 0.0
    drawn: str = "speech"

    def recipe(self, base: Recipe = TOY) -> Recipe:
        """The recipe whose stage 4 ends so."""
        rate = {Part.CHAIN: base.stages[4].learning_rates[Part.CHAIN]}
        settings = replace(
            base.stages[3], steps=max(1, self.steps), rows=base.stages[4].rows, learning_rates=rate
        )
        drawn = {
            f"{name}-{language}": ratio
            for name, ratio in DRAWN[self.drawn].items()
            for language in base.corpus.languages
        }
        return replace(
            base, distillation=Distillation(drawn, settings, self.state_weight) if self.steps else None
        )


ARMS = (Arm(300, 0.0), Arm(300, 1.0), Arm(1600, 0.0), Arm(1600, 1.0), Arm(2000, 1.0, "all"))
"""What ships, beside the chain as it was."""


@dataclass(frozen=True)
class BegunRow:
    """One homograph as Boost says it, everything visible.

    Attributes:
        arm: whose chain says it.
        language: "en" or "cmn".
        utterance: index in the corpus.
        homograph: the word.
        right: whether it was read as the text means it.
        begun_by: the module that made its first audio token, None for the backbone.
    """

    arm: Arm
    language: str
    utterance: int
    homograph: str
    right: bool
    begun_by: int | None


@dataclass(frozen=True)
class ChainReadings:
    """What all arms together found.

    Attributes:
        rows: homographs in Boost.
        probes: by arm and language, what linear probes of the backbone and of each module say of held-out sentences,
            the same ones for all arms.
    """

    rows: tuple[BegunRow, ...]
    probes: dict[tuple[Arm, str], tuple[ProbeRow, ...]]

    @property
    def arms(self) -> list[Arm]:
        """In the order of the file."""
        return list(dict.fromkeys(row.arm for row in self.rows))

    def read_as_meant(self, arm: Arm, language: str, makers: Makers | None = None) -> Estimate:
        """Share read as meant in Boost.

        Args:
            makers: only words that one of these began: modules by number, None for the backbone.

        Raises:
            ValueError: there is no such word.
        """
        rows = self._begun(arm, language, makers)
        return clustered_proportion([row.right for row in rows], [row.homograph for row in rows])

    def gain(self, arm: Arm, without: Arm, language: str, makers: Makers | None = None) -> Estimate:
        """By how much more is read as meant by one arm than by another, homograph by homograph in its sentence.

        Raises:
            ValueError: the arms were not asked the same, or there is no such word.
        """
        own, other = (self._begun(each, language, makers) for each in (arm, without))
        if [row.utterance for row in own] != [row.utterance for row in other]:
            raise ValueError(f"{arm} and {without} were not asked the same homographs")
        gains = [int(more.right) - less.right for more, less in zip(own, other, strict=True)]
        return clustered_mean(gains, [row.homograph for row in own])

    def _begun(self, arm: Arm, language: str, makers: Makers | None) -> list[BegunRow]:
        rows = [
            row
            for row in self.rows
            if (row.arm, row.language) == (arm, language) and (makers is None or row.begun_by in makers)
        ]
        if not rows:
            raise ValueError(f"no homograph of {arm} in {language!r} is begun by one of {makers}")
        return rows


def probe_chain(
    system: SpeechSystem, pairs: Sequence[Probe], *, seed: int = 0, progress: bool = True
) -> list[ProbeRow]:
    """Whether linear probes tell a homograph's reading, from the backbone's state of it and from each module's.

    They learn from half of the pairs, drawn at random, and are asked about the others.

    Returns:
        A row for each sentence asked about, whose `right` has the backbone first.

    Raises:
        ValueError: fewer than two pairs, or no homograph of the second half is met in both readings in the first.
    """
    if len(pairs) < 2:
        raise ValueError(f"a probe needs pairs to learn from and others to be asked about, got {len(pairs)}")
    drawn = random.Random(seed).sample(pairs, len(pairs))
    train, test = ([each.sentence for pair in drawn[part::2] for each in pair] for part in (0, 1))
    known, asked = (chain_states(system, sentences, progress=progress) for sentences in (train, test))
    return probe(known, train, asked, test)


def told_by_modules(rows: Sequence[ProbeRow]) -> Estimate:
    """How often the reading is told, the mean of all modules' probes."""
    return clustered_mean([_modules(row) for row in rows], [row.homograph for row in rows])


def told_more_by_modules(rows: Sequence[ProbeRow], others: Sequence[ProbeRow]) -> Estimate:
    """By how much more often than by another chain's modules, sentence by sentence.

    Raises:
        ValueError: the two were not asked about the same homographs.
    """
    if [row.homograph for row in rows] != [row.homograph for row in others]:
        raise ValueError("these probes were not asked about the same sentences")
    gains = [_modules(own) - _modules(other) for own, other in zip(rows, others, strict=True)]
    return clustered_mean(gains, [row.homograph for row in rows])


def _modules(row: ProbeRow) -> float:
    _, *modules = row.right
    return sum(modules) / len(modules)


def run_arm(
    arm: Arm, languages: Sequence[str], probes: int, folder: Path | None = None, base: Recipe = TOY
) -> dict:
    """Train an arm's chain, where that is not done yet, and examine it.

    Args:
        probes: homographs in sentences, in each language, at most.
        folder: of checkpoints and models; None for the cache folder.

    Returns:
        What `read_results` reads, as JSON's types.
    """
    pipeline = Pipeline(arm.recipe(base), folder)
    system = SpeechSystem(
        load_speech_lm(pipeline.run([4]), dtype=torch.float32, tell=None).eval(),
        pipeline.tokenizer,
        pipeline.codec,
    )
    listener = Listener(pipeline.codec, PhonemeJudge.load())
    corpus = generate(base.corpus)
    result = {"arm": asdict(arm), "rows": [], "probes": {}}
    for language in languages:
        firsts = draw_firsts(corpus.probes(language))[:probes]
        result["probes"][language] = [
            [row.homograph, "".join(str(int(each)) for each in row.right)]
            for row in probe_chain(system, firsts)
        ]
        result["rows"] += [
            [language, row.utterance, row.homograph, row.right, row.begun_by]
            for row in mask_homographs(system, listener, firsts, BOOST, (FULL,))
        ]
    return result


def read_results(path: Path = RESULTS) -> ChainReadings:
    """The results in a file that `python -m labkit.study.chain_reading` wrote.

    Raises:
        FileNotFoundError: it did not.
    """
    rows: list[BegunRow] = []
    probes: dict[tuple[Arm, str], tuple[ProbeRow, ...]] = {}
    for result in read_finished(path, "python -m labkit.study.chain_reading"):
        arm = Arm(**result["arm"])
        rows += [BegunRow(arm, *row) for row in result["rows"]]
        probes |= {
            (arm, name): tuple(
                ProbeRow(name, word, tuple(each == "1" for each in right)) for word, right in told
            )
            for name, told in result["probes"].items()
        }
    return ChainReadings(tuple(rows), probes)


_TYPED = re.compile(rf"(\d+):(\d+(?:\.\d+)?)(?::({'|'.join(DRAWN)}))?")


def _arm(typed: str) -> Arm:
    if not (match := _TYPED.fullmatch(typed)):
        raise argparse.ArgumentTypeError(
            f"an arm is STEPS:WEIGHT or STEPS:WEIGHT:DRAWN, such as 300:1 or 300:1:all, not {typed!r}"
        )
    steps, weight, drawn = match.groups("speech")
    return Arm(int(steps), float(weight), drawn)


def main(typed: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.study.chain_reading",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--arms",
        type=_arm,
        nargs="*",
        default=ARMS,
        metavar="STEPS:WEIGHT[:DRAWN]",
        help="beside the chain as it is: optimizer steps, weight of the loss on states, and what is drawn, "
        f"{' or '.join(DRAWN)}",
    )
    parser.add_argument("--languages", nargs="+", default=list(TOY.corpus.languages))
    parser.add_argument("--probes", type=int, default=300, help="homographs in sentences, in each language")
    parser.add_argument("--folder", type=Path, help="of checkpoints and models; the cache unless given")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(typed)
    arms = list(dict.fromkeys([Arm(), *options.arms]))
    done = {Arm(**each) for each in finished_arms(options.out)}
    left = [arm for arm in arms if arm not in done]
    print(f"{len(arms)} arms, {len(left)} to examine: {sum(arm.steps for arm in left):,} optimizer steps")
    for arm in left:
        print(arm)
        add_finished(options.out, run_arm(arm, options.languages, options.probes, options.folder))
    results = read_results(options.out)
    for arm in arms:
        for language in options.languages:
            share = results.read_as_meant(arm, language)
            probes = " ".join(f"{each.value:.0%}" for each in by_layer(results.probes[arm, language]))
            print(arm, language, f"read as meant {share.value:.0%}, probe from the backbone on {probes}")


if __name__ == "__main__":
    main()
