"""Fine-tuning on a training library: its labels, the proposed model, the comparison on held-out patients."""
