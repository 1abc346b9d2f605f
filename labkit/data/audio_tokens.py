"""Audio tokenised once and kept: every training run after the first finds its audio tokens in the cache.

The cache is a text file for each codec, with a line for each audio: a digest of the audio file's content, the number
of its tokens, the tokens, a full stop. So a file that moves keeps its tokens, a file that changes gets new ones, and
another codec has a file of its own. Lines are only ever appended, each in one write: a process that is killed loses
the line it was writing, and processes that work side by side at worst tokenise the same audio twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from labkit.audio.codec import SpeechTokenizer
from labkit.audio.io import AudioInputError, load_audio
from labkit.paths import cache_folder

DIGEST_BYTES = 16
LINE = re.compile(r"([0-9a-f]{32}) (\d+)((?: \d+)*)\.")


def codec_fingerprint(codec: SpeechTokenizer, name: str | None = None) -> str:
    """A name for all that decides a codec's tokens: a digest of its tokenizer's weights and of its numeric settings.

    Args:
        name: what to call a codec that has no `tokenizer` (or `model`, where it is itself one) whose weights could be
            read; it must be another name for every version of the codec that makes other tokens.

    Raises:
        ValueError: the codec has no such weights and no name was given.
    """
    tokenizer = getattr(codec, "tokenizer", None) or getattr(codec, "model", None)
    if name is not None:
        described = [name]
    elif hasattr(tokenizer, "state_dict"):
        # Plain numbers of the codec count too: the toy's log-mels are normalised by two of them.
        settings = {key: value for key, value in vars(codec).items() if isinstance(value, int | float | str)}
        described = [repr(sorted(settings.items())), repr(getattr(tokenizer, "config", None))]
    else:
        raise ValueError(
            f"{type(codec).__name__} has no `tokenizer` whose weights could tell one version from another; pass a "
            "name for it, and another name whenever it makes other tokens"
        )
    digest = hashlib.blake2b("\n".join([type(codec).__name__, *described]).encode(), digest_size=DIGEST_BYTES)
    if name is None:
        for key, tensor in sorted(tokenizer.state_dict().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class AudioTokens:
    """Audio tokens by audio file, computed where the cache does not have them.

    Args:
        codec: what tokenises.
        name: see `codec_fingerprint`.
        folder: where the cache lies; None for the machine's cache folder.

    Raises:
        ValueError: see `codec_fingerprint`.
    """

    def __init__(
        self, codec: SpeechTokenizer, *, name: str | None = None, folder: Path | None = None
    ) -> None:
        self.codec = codec
        folder = cache_folder("audio-tokens") if folder is None else Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{self._kept_in(codec_fingerprint(codec, name))}.txt"
        self._tokens: dict[str, np.ndarray] = {}
        self._digests: dict[Path, tuple[tuple[int, int], str]] = {}
        self._open()

    def __len__(self) -> int:
        """How many audios the cache holds."""
        return len(self._tokens)

    def __getitem__(self, path: str | Path) -> np.ndarray:
        """Audio tokens (tokens,), int32, of a file.

        Raises:
            AudioInputError: the file cannot be read as audio, by name.
        """
        path = Path(path)
        digest = self._digest(path)
        if digest not in self._tokens:
            self._append(digest, self._encode(path))
        return self._tokens[digest]

    def prepare(
        self,
        paths: Iterable[str | Path],
        *,
        refused: Callable[[Path, AudioInputError], None] | None = None,
        workers: int = 1,
        progress: bool = True,
    ) -> None:
        """Tokenise the files that the cache lacks; what is done is kept if it is interrupted.

        Args:
            refused: is told at once of each file that cannot be read, and why; by default that is raised.
            workers: threads that tokenise at the same time.

        Raises:
            AudioInputError: a file cannot be read as audio, by name, unless `refused` takes it.
        """
        missing: dict[str, Path] = {}
        unique = dict.fromkeys(map(Path, paths))
        for path in tqdm(unique, desc="looking up audio", unit="file", delay=1, disable=not progress):
            try:
                digest = self._digest(path)
            except AudioInputError as error:
                _refuse(path, error, refused)
            else:
                if digest not in self._tokens:
                    missing[digest] = path
        if not missing:
            return

        def encode(path: Path) -> np.ndarray | AudioInputError:
            try:
                return self._encode(path)
            except AudioInputError as error:
                return error

        with (
            ThreadPoolExecutor(workers) as pool,
            tqdm(total=len(missing), desc="tokenising audio", unit="file", disable=not progress) as bar,
        ):
            try:
                for (digest, path), tokens in zip(
                    missing.items(), pool.map(encode, missing.values()), strict=True
                ):
                    if isinstance(tokens, AudioInputError):
                        _refuse(path, tokens, refused)
                    else:
                        self._append(digest, tokens)
                    bar.update()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _kept_in(self, fingerprint: str) -> str:
        """The cache file's name; a kind of tokens that is not `Codec.encode`'s needs another for the same codec."""
        return fingerprint

    def _digest(self, path: Path) -> str:
        """A digest of the file's content, computed once as long as its size and time stay the same."""
        try:
            status = path.stat()
            state = status.st_size, status.st_mtime_ns
            known = self._digests.get(path)
            if known is None or known[0] != state:
                content = hashlib.blake2b(path.read_bytes(), digest_size=DIGEST_BYTES)
                self._digests[path] = known = state, content.hexdigest()
        except OSError as error:
            raise AudioInputError(f"{path} cannot be read: {error.strerror}") from error
        return known[1]

    def _encode(self, path: Path) -> np.ndarray:
        waveform = load_audio(path, self.codec.sample_rate)
        try:
            return self.codec.encode(waveform, self.codec.sample_rate).cpu().numpy().astype(np.int32)
        except AudioInputError as error:
            raise AudioInputError(f"{path}: {error}") from error

    def _open(self) -> None:
        """Read the cache. A line that was cut off is no line, and what follows starts on a new one."""
        if not self.path.exists():
            return
        content = self.path.read_text(encoding="ascii", errors="replace")
        if content and not content.endswith("\n"):
            self._write("\n")
        for line in content.splitlines():
            if match := LINE.fullmatch(line):
                tokens = np.array(match[3].split(), dtype=np.int32)
                if len(tokens) == int(match[2]):
                    self._tokens[match[1]] = tokens

    def _append(self, digest: str, tokens: np.ndarray) -> None:
        self._tokens[digest] = tokens
        self._write(f"{digest} {' '.join(map(str, (len(tokens), *tokens)))}.\n")

    def _write(self, line: str) -> None:
        # Unbuffered: one write for a line, at the end as it then is.
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode("ascii"))


def _refuse(
    path: Path, error: AudioInputError, refused: Callable[[Path, AudioInputError], None] | None
) -> None:
    if refused is None:
        raise error
    refused(path, error)
