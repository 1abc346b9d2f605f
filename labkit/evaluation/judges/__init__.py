"""Judges that write down what they hear: the paper's own, behind one interface."""
