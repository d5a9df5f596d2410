"""Coverage-guided fuzzers of what reads files that others made; `python tests/fuzz --help`."""
