"""Whisper (Radford et al., 2023), the paper's judge of English speech, from a local folder or the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from labkit.audio.io import as_mono
from labkit.checkpoints import WEIGHTS, find_folder
from labkit.data.phonemes import check_language
from labkit.evaluation.judges.interface import JudgeError, WritingJudge, audible

LARGE_V3 = "openai/whisper-large-v3"
LANGUAGES = {"en": "en", "cmn": "zh"}
FILES = ("*.json", "*.txt", *WEIGHTS)


class WhisperJudge(WritingJudge):
    """Greedy Whisper, told the language, as the benchmarks of speech generation use it.

    Args:
        model: a multilingual Whisper; English-only ones are told no language and judge English alone.
        processor: its features and tokenizer.
        name: as results name it.
        batch: waveforms heard at a time.

    Attributes:
        spelling: British spellings and their American ones, for the English normalizer; empty where the tokenizer has
            no ``normalizer.json``.
    """

    def __init__(
        self,
        model: WhisperForConditionalGeneration,
        processor: WhisperProcessor,
        name: str,
        batch: int = 16,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch}")
        self.model, self.processor, self.name, self.batch = model.eval(), processor, name, batch
        self.spelling: Mapping[str, str] = processor.tokenizer.english_spelling_normalizer or {}

    @classmethod
    def load(
        cls,
        source: str | Path = LARGE_V3,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        batch: int = 16,
        tell: Callable[[str], None] | None = print,
    ) -> Self:
        """Whisper from a folder in transformers' layout, or from the hub (large-v3: 3.1 GB, in half precision).

        Args:
            source: the folder, or a hub id.
            device: where it listens.
            dtype: float16 on a GPU and float32 on a CPU, unless given.
            batch: waveforms heard at a time.
            tell: gets a line on what is loaded.

        Raises:
            FileNotFoundError: neither a folder nor a hub id that can be reached.
            JudgeError: the files are not those of a Whisper.
        """
        folder = find_folder(source, FILES, "Whisper")
        if dtype is None:
            dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
        try:
            processor = WhisperProcessor.from_pretrained(folder)
            model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=dtype, use_safetensors=True)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise JudgeError(
                f"{folder} does not hold a Whisper in transformers' layout (config, generation_config, tokenizer, "
                f"preprocessor and safetensors): {error}"
            ) from error
        if tell:
            millions = sum(each.numel() for each in model.parameters()) / 1e6
            tell(f"judge: {source}, {millions:,.0f} M parameters on {device}")
        return cls(model.to(device), processor, str(source), batch)

    def write_all(self, waveforms: Sequence[torch.Tensor], sample_rate: int, language: str) -> list[str]:
        """See `WritingJudge.write_all`. Speech beyond 30 s is heard in windows, by transformers' own algorithm."""
        check_language(language)
        if language != "en" and not self._multilingual:
            raise ValueError(f"{self.name} knows English alone; give a multilingual Whisper for {language!r}")
        rate = self.processor.feature_extractor.sampling_rate
        written = [""] * len(waveforms)
        order = audible(waveforms)
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            sounds = [as_mono(waveforms[index], sample_rate, rate).numpy() for index in chosen]
            for index, text in zip(chosen, self._hear(sounds, rate, language), strict=True):
                written[index] = text.strip()
        return written

    @property
    def _multilingual(self) -> bool:
        return getattr(self.model.generation_config, "is_multilingual", True)

    @torch.inference_mode()
    def _hear(self, sounds: Sequence[Any], rate: int, language: str) -> list[str]:
        extractor = self.processor.feature_extractor
        long = max(map(len, sounds)) > extractor.n_samples
        lengths = {"truncation": False, "padding": "longest"} if long else {"padding": "max_length"}
        features = extractor(
            sounds, sampling_rate=rate, return_tensors="pt", return_attention_mask=True, **lengths
        ).to(self.model.device)
        options: dict[str, Any] = {"return_timestamps": True} if long else {}
        if self._multilingual:
            options |= {"language": LANGUAGES[language], "task": "transcribe"}
        ids = self.model.generate(
            features.input_features.to(self.model.dtype),
            attention_mask=features.attention_mask,
            do_sample=False,
            num_beams=1,
            **options,
        )
        return self.processor.batch_decode(ids, skip_special_tokens=True)
