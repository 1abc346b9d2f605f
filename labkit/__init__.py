"""The library under the VITA-Audio lab: small rooms, each built on those named before it.

==============  ========================================================================================
``vocabulary``  one id space for text, special tokens and audio tokens; masks by modality
``interleave``  the interleave modes as schedules: which slot holds what, and who makes it
``audio``       the codec: waveform to audio tokens and back, whole or streamed
``data``        the toy speech corpus with true word times; messages and mixtures; packing
``model``       the backbone, the MCTP modules and their chain, SpeechLM, knockouts
``generation``  prefill and decode as one stream of events
``training``    the four stages as data, and one visible loop
``evaluation``  independent judges of what was said; WER, CER and phoneme error rate
``study``       alignment, homographs, knockouts, activation patching, lenses, attribution
``benchmark``   speed by interleave mode, latency of the first audio, the cost model
``views``       plotly figures and widgets; no model code here
==============  ========================================================================================

A room imports only from rooms above it in this table. Beside the rooms stand a few leaf modules that any
room may use: :mod:`labkit.paths`, :mod:`labkit.memory`, :mod:`labkit.checkpoints`, :mod:`labkit.statistics`,
:mod:`labkit.findings`, :mod:`labkit.figures` and :mod:`labkit.notebooks`. ``labkit.parity`` and ``labkit.gallery`` are
commands, which nothing imports.
"""

from importlib.metadata import version

__version__ = version("labkit")
