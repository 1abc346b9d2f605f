"""Tiny data sets on disk, each in its archive's own layout, with a second of noise for speech."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


def noise(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def sound(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        soundfile.write(path, noise(seconds), RATE, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, noise(seconds), RATE)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def flac_bytes() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(), RATE, format="FLAC")
    return file.getvalue()


def librispeech(root: Path) -> None:
    for split in ("test-clean", "test-other"):
        folder = root / "LibriSpeech" / split / "1089" / "134686"
        text(
            folder / "1089-134686.trans.txt",
            "1089-134686-0000 HE HOPED\n1089-134686-0001 STUFF IT INTO YOU\n",
        )
        for number in (0, 1):
            sound(folder / f"1089-134686-000{number}.flac")


def libritts(root: Path) -> None:
    folder = root / "LibriTTS" / "test-clean" / "1089" / "134686"
    for number, words in enumerate(("He hoped there would be stew.", "Two dogs.")):
        name = f"1089_134686_000001_00000{number}"
        text(folder / f"{name}.normalized.txt", words)
        text(folder / f"{name}.original.txt", words)
        sound(folder / f"{name}.wav")


def aishell1(root: Path) -> None:
    sound(root / "data_aishell/wav/test/S0764/BAC009S0764W0121.wav")
    sound(root / "data_aishell/wav/test/S0765/BAC009S0765W0122.wav")
    transcript = (
        "BAC009S0002W0122 而 对 楼市\nBAC009S0764W0121 甚至 出现 交易 \nBAC009S0765W0122 一二线 城市\n"
    )
    text(root / "data_aishell/transcript/aishell_transcript_v0.8.txt", transcript)


def aishell2(root: Path) -> None:
    folder = root / "AISHELL-DEV-TEST-SET/iOS/test"
    sound(folder / "wav/T0055/IT0055W0001.wav")
    text(folder / "wav.scp", "IT0055W0001\twav/T0055/IT0055W0001.wav\n")
    text(folder / "trans.txt", "IT0055W0001\t换一首歌\n")


def wenetspeech(root: Path) -> None:
    audios = []
    for subset, folder in (("TEST_NET", "test_net"), ("TEST_MEETING", "test_meeting")):
        path = f"audio/{folder}/B00000/{folder}_0.opus"
        sound(root / path, 2.0)
        segments = [
            {"sid": f"{folder}_S{n}", "begin_time": n / 2, "end_time": (n + 1) / 2, "text": "怎么样"}
            | {"subsets": [subset]}
            for n in (0, 1)
        ]
        segments[1] |= {"confidence": 1.0}
        audios.append({"aid": folder, "duration": 2.0, "path": path, "segments": segments})
    audios.append(
        {"aid": "train", "path": "audio/train/x.opus", "segments": [{"sid": "x", "subsets": ["L"]}]}
    )
    text(root / "WenetSpeech.json", json.dumps({"audios": audios}, ensure_ascii=False))


def fleurs(root: Path) -> None:
    for name, words in (("en_us", "however due to the slow"), ("cmn_hans_cn", "这 并 不 是 告 别")):
        lines = [
            f"{1904}\t{number}.wav\tRaw, text.\t{words}\th o w |\t8000\tMALE\n" for number in (10001, 10002)
        ]
        text(root / "data" / name / "test.tsv", "".join(lines))
        for number in (10001, 10002):
            sound(root / "data" / name / f"audio/test/{number}.wav")


def seed_tts(root: Path) -> None:
    lists = {
        "zh/meta.lst": "对，这就是我。",
        "zh/hardcase.lst": "八百标兵奔北坡",
        "en/meta.lst": "Get the trust fund.",
    }
    for place, words in lists.items():
        path = root / "seedtts_testset" / place
        prompt = "prompt|prompt-wavs/1000.wav"
        text(path, f"1000-0001|{prompt}|{words}\n1000-0002|{prompt}|{words}|wavs/2.wav\n")
        sound(path.parent / "prompt-wavs/1000.wav")


def questions(root: Path, name: str, columns: dict[str, str]) -> None:
    folder = root / "eval_datas" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["", *columns, "audio_filename"])
        table.writeheader()
        for number in (0, 1):
            table.writerow(columns | {"": number, "audio_filename": f"{name}_{number}.mp3"})
            sound(folder / "audios" / f"{name}_{number}.mp3")


def llama_questions(root: Path) -> None:
    questions(root, "llama_questions", {"Questions": "What is the capital of France?", "Answer": "Paris"})


def trivia_qa(root: Path) -> None:
    columns = {
        "question": "Who was the man behind The Chipmunks?",
        "answer_normalized_aliases": "['david seville', \"seville's\"]",
        "answer_normalized_value": "david seville",
    }
    questions(root, "trivia_qa", columns)


def web_questions(root: Path) -> None:
    questions(root, "web_questions", {"question": "what character did he play?", "answers": "Lee; Tony"})


WRITERS: dict[str, Callable[[Path], None]] = {
    "llama-questions": llama_questions,
    "trivia-qa": trivia_qa,
    "web-questions": web_questions,
    "seed-tts-eval": seed_tts,
    "libritts": libritts,
    "librispeech": librispeech,
    "fleurs": fleurs,
    "aishell-1": aishell1,
    "aishell-2": aishell2,
    "wenetspeech": wenetspeech,
}
