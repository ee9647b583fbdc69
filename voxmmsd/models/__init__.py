"""Trained models: the model package, its card, and the registry of this user."""
