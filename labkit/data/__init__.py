"""The toy speech world: sentences from grammars, spoken by espeak-ng, with true word and phoneme times."""
