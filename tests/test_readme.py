"""What the README shows works as it stands there, and the speech that it makes is understood."""

import re
from pathlib import Path

import pytest
import soundfile

from labkit.evaluation.rates import edits
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.evaluation.transcript import Transcriber
from labkit.evaluation.words import english_word_judge

README = Path(__file__).parent.parent / "README.md"


def test_the_shipped_model_says_the_readmes_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    (sentence,) = re.findall(r'text_to_speech\("([^"]+)"\)', code)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    waveform, rate = soundfile.read("said.wav", dtype="float32")
    heard = Transcriber(PhonemeJudge.load(), english_word_judge()).write(waveform, rate, "en")
    words = sentence.split()
    assert edits(words, heard.split()) <= len(words) // 3, heard
