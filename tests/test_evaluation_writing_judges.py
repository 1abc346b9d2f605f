"""The paper's judges, on tiny random checkpoints in the real layout: everything but what they have learned."""

import json
import sys
from types import ModuleType

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from labkit.evaluation.judges.interface import JudgeError, Panel, WritingJudge
from labkit.evaluation.judges.paraformer import ParaformerJudge
from labkit.evaluation.judges.whisper import WhisperJudge

SPECIALS = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|zh|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]
TIMES = [f"<|{place * 0.02:.2f}|>" for place in range(1501)]


def write_whisper(folder):
    """A Whisper of two thousand ids and one small layer, every file that the release has."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(
        vocab={letter: index for index, letter in enumerate(alphabet)},
        merges=[],
        additional_special_tokens=SPECIALS[1:],
    )
    tokenizer.add_tokens(SPECIALS, special_tokens=True)
    tokenizer.add_tokens(TIMES)
    tokenizer.english_spelling_normalizer = {"colour": "color"}
    extractor = WhisperFeatureExtractor(feature_size=16)
    WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    # A tokenizer made by hand does not write this file; the release's folder has it.
    (folder / "normalizer.json").write_text(json.dumps({"colour": "color"}))
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIALS}
    end = ids["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=16,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=24,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|zh|>": ids["<|zh|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        max_initial_timestamp_index=50,
        max_length=20,
        suppress_tokens=list(range(len(alphabet), len(tokenizer))),  # so that it babbles in letters
        begin_suppress_tokens=[end],
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_whisper(tmp_path_factory.mktemp("whisper"))


def noise(seconds, seed=0):
    return torch.randn(int(16_000 * seconds), generator=torch.Generator().manual_seed(seed)) * 0.1


def test_whisper_hears_each_alike_alone_and_in_company(folder):
    judge = WhisperJudge.load(folder, batch=2, tell=None)
    sounds = [noise(0.5, 1), torch.zeros(0), noise(1.0, 2), noise(0.3, 3)]
    for language in ("en", "cmn"):
        together = judge.write_all(sounds, 16_000, language)
        assert len(together) == 4
        assert together[1] == ""
        assert together[0]
        assert together == [judge.write(sound, 16_000, language) for sound in sounds]
    assert judge.write_all([], 16_000, "en") == []
    assert judge.spelling == {"colour": "color"}


def test_whisper_takes_other_rates_and_long_speech(folder):
    judge = WhisperJudge.load(folder, tell=None)
    assert isinstance(judge.write(noise(1.0), 22_050, "en"), str)
    judge.model.generation_config.suppress_tokens = []  # windows end at timestamps
    assert isinstance(judge.write(noise(31.0), 16_000, "en"), str)


def test_whispers_that_cannot_be_had_are_told(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no Whisper"):
        WhisperJudge.load(tmp_path / "nowhere", tell=None)
    with pytest.raises(JudgeError, match="does not hold a Whisper"):
        WhisperJudge.load(tmp_path, tell=None)
    judge = WhisperJudge.load(folder, tell=None)
    with pytest.raises(ValueError, match="language"):
        judge.write(noise(0.1), 16_000, "fr")
    judge.model.generation_config.is_multilingual = False
    with pytest.raises(ValueError, match="English alone"):
        judge.write(noise(0.1), 16_000, "cmn")
    with pytest.raises(ValueError, match="at least 1"):
        WhisperJudge(judge.model, judge.processor, "x", batch=0)


class Scripted:
    """FunASR's `AutoModel`, as far as the judge knows it."""

    def __init__(self, **options):
        self.options, self.lengths = options, []
        if options["model"].endswith("broken"):
            raise AssertionError("not registered")

    def generate(self, **options):
        assert options["fs"] == 16_000
        self.lengths += [len(each) for each in options["input"]]
        return [{"key": "a", "text": "你 好"}]


@pytest.fixture
def funasr(monkeypatch):
    module = ModuleType("funasr")
    module.AutoModel = Scripted
    monkeypatch.setitem(sys.modules, "funasr", module)


def test_paraformer_listens_to_chinese_alone(funasr):
    judge = ParaformerJudge.load(tell=None)
    assert judge.write_all([noise(0.5), torch.zeros(0)], 8_000, "cmn") == ["你好", ""]
    assert judge.model.lengths == [16_000], "resampled, and silence never asked"
    with pytest.raises(ValueError, match="Chinese alone"):
        judge.write(noise(0.5), 16_000, "en")


def test_paraformers_that_cannot_be_had_are_told(funasr, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"lacks config\.yaml, model\.pt"):
        ParaformerJudge.load(tmp_path)
    with pytest.raises(JudgeError, match="not registered"):
        ParaformerJudge.load("broken", tell=None)
    monkeypatch.setitem(sys.modules, "funasr", None)
    with pytest.raises(JudgeError, match=r"labkit\[benchmarks\]"):
        ParaformerJudge.load()


class Says(WritingJudge):
    def __init__(self, name):
        self.name = name

    def write_all(self, waveforms, sample_rate, language):
        return [self.name] * len(waveforms)


def test_a_panel_asks_the_judge_of_the_language():
    panel = Panel({"en": Says("whisper"), "cmn": Says("paraformer")})
    assert panel.write(noise(0.1), 16_000, "en") == "whisper"
    assert panel.write(noise(0.1), 16_000, "cmn") == "paraformer"
    assert panel.name == "en: whisper, cmn: paraformer"
    with pytest.raises(ValueError, match="nobody here listens to 'cmn'"):
        Panel({"en": Says("whisper")}).write(noise(0.1), 16_000, "cmn")
    with pytest.raises(ValueError, match="language"):
        Panel({"fr": Says("x")})
