"""What is kept of a training: the model package, its card, and the registry of this user's models."""
