"""SenseVoice, through which VITA-Audio-Plus hears: filter banks, an encoder, and rows in place of tokens."""
