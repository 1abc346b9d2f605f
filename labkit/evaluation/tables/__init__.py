"""The paper's Tables 4 to 7 in miniature: the lab's own models, stage by stage and mode by mode, in their own world."""
