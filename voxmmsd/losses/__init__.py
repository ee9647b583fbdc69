"""What is minimized, one loss per file."""
