"""Data: find cases, read volumes, preprocess, and store prepared arrays."""
