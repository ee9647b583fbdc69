"""Loops that change weights: fine-tuning here; self-supervised pre-training uses the same rooms."""
