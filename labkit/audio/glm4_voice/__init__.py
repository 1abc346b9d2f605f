"""The release's codec: the GLM-4-Voice tokenizer and decoder, in their released key layout."""
