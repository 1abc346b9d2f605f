"""Train the phoneme judge: `python -m labkit.evaluation.train_recogniser`.

On original espeak speech of the training split and nothing else. It is deformed on the way (gain, tilt, noise, gaps),
so that the judge keys on phonemes and not on the exact spectra of a synthesiser, and hears a codec's output as a
listener would.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from tqdm.auto import tqdm

from labkit.audio.features import log_mel
from labkit.data.corpus import Corpus, CorpusSpec, generate
from labkit.evaluation.recogniser import LISTENING, PhonemeJudge, PhonemeRecogniser, RecogniserConfig
from labkit.paths import cache_folder, weights_folder
from labkit.training.fit import FitSettings, fit, mixed_precision
from labkit.training.frames import frame_labels, phoneme_symbols, symbol_ids


@dataclass
class RecogniserObjective:
    """CTC over whole utterances, and a label for every 20 ms frame beside it.

    Attributes:
        mel: normalised log-mels, each `(frames, mel_bins)` every 10 ms.
        frame_labels: symbol of every 20 ms, each `(frames // 2,)`; 0 is silence.
        phonemes: the symbols in order, without silence.
    """

    network: PhonemeRecogniser
    mel: list[torch.Tensor]
    frame_labels: list[torch.Tensor]
    phonemes: list[torch.Tensor]
    batch: int = 24

    def __post_init__(self) -> None:
        self._lengths = torch.tensor([len(each) for each in self.mel])
        self._quiet = min(float(each.min()) for each in self.mel)

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        # Utterances of like length together, so that little of a batch is padding.
        lengths = self._lengths
        middle = int(torch.randint(len(lengths), (1,), generator=generator))
        near = (
            (lengths - lengths[middle]).abs().topk(min(8 * self.batch, len(lengths)), largest=False).indices
        )
        picks = near[torch.randperm(len(near), generator=generator)[: self.batch]].tolist()
        longest = max(len(self.frame_labels[i]) for i in picks)
        mel = torch.stack([_pad(self.mel[i].float(), 2 * longest, self._quiet) for i in picks])
        labels = torch.stack([_pad(self.frame_labels[i], longest, value=-100) for i in picks])
        with mixed_precision():
            ctc, frames = self.network(deform(mel, generator))
        heard = torch.tensor([len(self.frame_labels[i]) for i in picks])
        meant = torch.tensor([len(self.phonemes[i]) for i in picks])
        targets = torch.cat([self.phonemes[i] for i in picks])
        return {
            "ctc": functional.ctc_loss(
                ctc.float().log_softmax(-1).transpose(0, 1), targets, heard, meant, zero_infinity=True
            ),
            "frame": functional.cross_entropy(frames.float().flatten(0, 1), labels.flatten()),
        }


def deform(mel: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Speech as through a random room and wire: `(batch, frames, mel_bins)`, normalised log-mels in and out."""
    batch, frames, bins = mel.shape

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    slope = torch.linspace(-1, 1, bins)
    mel = mel + 0.3 * draw(batch, 1, 1) + 0.2 * draw(batch, 1, 1) * slope
    mel = (
        mel
        + 0.05 * draw(batch, 1, bins)
        + 0.15 * torch.rand(batch, 1, 1, generator=generator) * draw(batch, frames, bins)
    )
    # A hiss fills up what is quieter than it.
    floor = -2.2 + 1.2 * torch.rand(batch, 1, 1, generator=generator)
    mel = torch.logaddexp(4 * mel, 4 * (floor + 0.1 * draw(batch, frames, bins))) / 4
    lost = torch.rand(batch, frames // 4 + 1, 1, generator=generator) < 0.02
    return mel.masked_fill(lost.repeat_interleave(4, dim=1)[:, :frames], 0.0)


def _pad(row: torch.Tensor, length: int, value: float = 0) -> torch.Tensor:
    missing = length - len(row)
    return functional.pad(row, (0, 0, 0, missing) if row.ndim == 2 else (0, missing), value=value)


def train(corpus: Corpus, folder: Path, *, steps: int = 2200, seed: int = 1) -> PhonemeJudge:
    """Train a judge on the training split of `corpus`, with checkpoints in `folder`."""
    mel, labels, phonemes = [], [], []
    for index in tqdm(corpus.indices(split="train"), desc="listening", unit="utterance"):
        utterance = corpus[index]
        samples = torch.from_numpy(utterance.waveform)
        samples = functional.pad(samples, (0, -len(samples) % (2 * LISTENING.hop)))
        mel.append(log_mel(samples[None], LISTENING)[0])
        step = 2 * LISTENING.hop / LISTENING.sample_rate
        labels.append(frame_labels(utterance, len(mel[-1]) // 2, step))
        ids = torch.tensor(symbol_ids(utterance.phonemes, utterance.language))
        phonemes.append(ids[ids > 0])
    everything = torch.cat(mel[:2000])
    mean, scale = round(float(everything.mean()), 4), round(float(everything.std()), 4)
    mel = [((each - mean) / scale).half() for each in mel]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PhonemeRecogniser(RecogniserConfig(symbols=phoneme_symbols()))
    settings = FitSettings(steps=steps, learning_rate=2e-3, seed=seed)
    fit(
        network,
        RecogniserObjective(network, mel, labels, phonemes),
        settings,
        folder=folder,
        name="phoneme judge",
    )
    return PhonemeJudge(network, mel_mean=mean, mel_scale=scale)


def main() -> None:
    """Train the judge that ships with the lab, or another."""
    parser = argparse.ArgumentParser(prog="python -m labkit.evaluation.train_recogniser", description=__doc__)
    parser.add_argument("--sentences", type=int, default=CorpusSpec.sentences, help="training sentences")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=weights_folder() / "phoneme-judge")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    corpus = generate(CorpusSpec(sentences=arguments.sentences))
    folder = cache_folder(
        "training", "phoneme-judge", f"{corpus.folder.name}-{arguments.steps}-{arguments.seed}"
    )
    judge = train(corpus, folder, steps=arguments.steps, seed=arguments.seed)
    judge.save(arguments.out)
    print(f"wrote {arguments.out}; score it with: python -m labkit.evaluation.codec")


if __name__ == "__main__":
    main()
