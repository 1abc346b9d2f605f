"""Independent judges of what was said, error rates with intervals, and what the codec keeps of speech."""
