"""Paraformer (Gao et al., 2022), the paper's judge of Chinese speech, through FunASR.

transformers has no Paraformer; FunASR (`pip install 'labkit[benchmarks]'`) has the authors' own. It is imported when
this judge is loaded, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from labkit.audio.io import as_mono
from labkit.data.phonemes import check_language
from labkit.evaluation.judges.interface import JudgeError, WritingJudge, audible

PARAFORMER = "paraformer-zh"
"""FunASR's name for the Paraformer-large that Seed-TTS-eval judges Chinese with."""
SAMPLE_RATE = 16_000
FILES = ("config.yaml", "model.pt")


class ParaformerJudge(WritingJudge):
    """Paraformer without voice activity detection or punctuation: each waveform is one utterance.

    Args:
        model: a FunASR ``AutoModel``, or anything whose ``generate(input=[waveform], ...)`` gives ``[{"text": ...}]``.
        name: as results name it.
    """

    def __init__(self, model: Any, name: str = PARAFORMER) -> None:
        self.model, self.name = model, name

    @classmethod
    def load(
        cls,
        source: str | Path = PARAFORMER,
        *,
        device: torch.device | str = "cpu",
        tell: Callable[[str], None] | None = print,
    ) -> Self:
        """Paraformer from a folder in FunASR's layout (``config.yaml``, ``model.pt``, ...), or by FunASR's name.

        Raises:
            FileNotFoundError: the folder is not there, or lacks a file.
            JudgeError: FunASR is not installed, or cannot make a model of what is there.
        """
        folder = Path(source).expanduser()
        given = folder.is_absolute() or str(source).startswith((".", "~")) or folder.exists()
        if given and (missing := [name for name in FILES if not (folder / name).is_file()]):
            raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which a Paraformer of FunASR has")
        try:
            from funasr import AutoModel
        except ImportError as error:
            raise JudgeError(
                "Paraformer needs FunASR: pip install 'labkit[benchmarks]'. Without it, let Whisper judge Chinese as "
                "well, which the paper does not"
            ) from error
        try:
            model = AutoModel(
                model=str(folder if given else source),
                device=str(device),
                disable_update=True,
                disable_pbar=True,
            )
        except Exception as error:  # FunASR asserts, and lets errors of every kind through
            raise JudgeError(f"FunASR cannot load {source}: {error!r}") from error
        if tell:
            tell(f"judge: {source} on {device}")
        return cls(model, str(source))

    def write_all(self, waveforms: Sequence[torch.Tensor], sample_rate: int, language: str) -> list[str]:
        """See `WritingJudge.write_all`. Paraformer knows Chinese alone."""
        if check_language(language) != "cmn":
            raise ValueError(f"{self.name} knows Chinese alone; let Whisper listen to {language!r}")
        written = [""] * len(waveforms)
        for index in audible(waveforms):
            sound = as_mono(waveforms[index], sample_rate, SAMPLE_RATE).numpy()
            heard = self.model.generate(input=[sound], batch_size=1, fs=SAMPLE_RATE)
            # Characters come with blanks between them.
            written[index] = "".join(heard[0]["text"].split()) if heard else ""
        return written
