"""The paper's benchmarks, read from where they lie, asked as the paper asks them, and judged as it judges them."""
