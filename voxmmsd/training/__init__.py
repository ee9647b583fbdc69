"""Training: pre-training, fine-tuning, training on corrections, and experiments, with one common loop."""
