"""The codec: waveform to audio tokens and back, whole or streamed, the toy's and the release's; audio files in."""
