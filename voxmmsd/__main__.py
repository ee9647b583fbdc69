"""``python -m voxmmsd VERB``."""

from voxmmsd.cli import entry_point

if __name__ == "__main__":  # the guard matters: spawned workers import this module again
    entry_point()
