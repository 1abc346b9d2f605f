"""Sound for a widget: WAV, in which a browser seeks to the sample, and which is never stored in the notebook."""

import io

import numpy as np
import soundfile
from numpy.typing import ArrayLike


def wav(waveform: ArrayLike, sample_rate: int) -> bytes:
    """A waveform ``(samples,)`` as a 16-bit WAV file; empty bytes for an empty one."""
    samples = np.asarray(waveform, dtype=np.float32)
    if not samples.size:
        return b""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
