"""The codec: waveform to audio tokens and back, whole or streamed; audio files in, clear errors out."""
