"""One stage on your own data, from any checkpoint in the released layout: `python -m labkit.training.train_stage`.

    python -m labkit.training.train_stage 2 --start labkit/weights/speech-lm-stage-1 --data tts.jsonl asr.jsonl \\
        --ratios 1 0.5 --steps 500 --run runs/one-module --out models/one-module

`--codec` says whose audio tokens the model speaks: those of a toy codec, the shipped one unless another is named, or
GLM-4-Voice's, as VITA-Audio's own checkpoints do (`--start VITA-MLLM/VITA-Audio-Boost --codec
THUDM/glm-4-voice-tokenizer`). Speech is only heard here, so no decoder is needed.

Data are JSON lines as the release has them (`labkit.data.messages`), one file per dataset. The run folder keeps the
checkpoint, the history and TensorBoard's files; the same command again goes on where it was stopped. For several
processes: `accelerate launch -m labkit.training.train_stage ...`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from labkit.audio.glm4_voice.codec import PREPROCESSOR, GLM4VoiceTokenizer
from labkit.audio.toy import ToyCodec
from labkit.data.audio_tokens import AudioTokens
from labkit.data.faults import POLICIES
from labkit.data.speech_data import SpeechData
from labkit.generation.matching import check_match
from labkit.interleave import MODES
from labkit.model import load_speech_lm, save_speech_lm
from labkit.model.checkpoint import find_checkpoint
from labkit.training.loop import LoopSettings, train
from labkit.training.processes import processes
from labkit.training.stages import STAGES, Part, stage
from labkit.training.stream import RowStream
from labkit.vocabulary import Vocabulary, load_tokenizer


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m labkit.training.train_stage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("stage", type=int, choices=[each.number for each in STAGES])
    made.add_argument(
        "--start", required=True, help="folder or hub id of the checkpoint, its tokenizer beside it"
    )
    made.add_argument("--data", type=Path, nargs="+", required=True, help="JSONL files, one per dataset")
    made.add_argument("--ratios", type=float, nargs="+", help="sampling ratio of each file; 1 unless given")
    made.add_argument(
        "--on-fault", choices=POLICIES, default="fail", help="a faulty sample stops the run, or is skipped"
    )
    made.add_argument(
        "--codec",
        help="folder of a toy codec, or folder or hub id of GLM-4-Voice's tokenizer; the shipped codec unless given",
    )
    made.add_argument(
        "--modes", nargs="+", choices=tuple(MODES), default=["boost"], help="layouts of spoken answers"
    )
    made.add_argument("--tokens", type=int, default=1024, help="length of a packed row")
    made.add_argument("--steps", type=int, required=True)
    made.add_argument(
        "--rows", type=int, default=LoopSettings.rows, help="packed rows a step, over all processes"
    )
    made.add_argument("--batch-rows", type=int, default=LoopSettings.batch_rows, help="rows a forward pass")
    for part in Part:
        made.add_argument(
            f"--{part}-rate", type=float, help="learning rate; the paper's for the stage unless given"
        )
    made.add_argument("--seed", type=int, default=LoopSettings.seed)
    made.add_argument("--run", type=Path, required=True, help="folder of checkpoints and history")
    made.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    return made


def load_ears(source: str | None) -> ToyCodec | GLM4VoiceTokenizer:
    """What makes audio tokens of speech.

    Args:
        source: folder of a toy codec, folder or hub id of GLM-4-Voice's tokenizer, or None for the shipped toy codec.

    Raises:
        FileNotFoundError: there is no such folder or hub id, or a file is missing.
        CheckpointError: files that are broken or do not fit.
    """
    if source is None or (Path(source).is_dir() and not (Path(source) / PREPROCESSOR).is_file()):
        return ToyCodec.load(source)
    return GLM4VoiceTokenizer.load(source)


def main(arguments: list[str] | None = None) -> None:
    """Train one stage."""
    options = parser().parse_args(arguments)
    ratios = options.ratios or [1.0] * len(options.data)
    if len(ratios) != len(options.data):
        raise SystemExit(f"{len(options.data)} data files but {len(ratios)} ratios; give one for each")
    files = {path.stem: path for path in options.data}
    if len(files) != len(options.data):
        raise SystemExit("two data files have the same name; datasets are told apart by it")
    shares = dict(zip(files, ratios, strict=True))
    rates = {part: rate for part in Part if (rate := getattr(options, f"{part}_rate")) is not None}
    settings = LoopSettings(options.steps, options.rows, options.batch_rows, rates, seed=options.seed)
    # What does not fit is refused before the audio is tokenised, which takes long.
    tokenizer, codec = load_tokenizer(find_checkpoint(options.start)), load_ears(options.codec)
    model = load_speech_lm(options.start, dtype=torch.float32)
    check_match(model, Vocabulary.from_tokenizer(tokenizer), codec)
    stage(options.stage).check(model)
    state = processes()
    with state.main_process_first():  # which tokenises the audio for all
        data = SpeechData(
            files,
            shares,
            tokenizer,
            audio=AudioTokens(codec),
            length=options.tokens,
            modes=options.modes,
            seed=options.seed,
            on_fault=options.on_fault,
            progress=state.is_main_process,
        )
    if state.is_main_process and data.faults:
        print(data.faults)
    stream = RowStream(data.rows)
    key = {"start": options.start, "ratios": shares, "tokens": options.tokens, "modes": options.modes}
    train(model, stage(options.stage), stream, settings, folder=options.run, key=key)
    if state.is_main_process:
        print(data.report)
        save_speech_lm(model, options.out)
        tokenizer.save_pretrained(options.out)
        print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
