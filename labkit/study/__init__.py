"""What the model looks at while it speaks, and where it decides how to read a word: the lab's experiments."""
