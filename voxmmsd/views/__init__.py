"""Views and augmentations for training: batched tensor operations; parameters are drawn first, then applied."""
