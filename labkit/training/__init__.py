"""How what ships was trained, and can be trained again: one small loop, and an objective for each network."""
