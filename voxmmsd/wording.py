"""Numbers as text."""


def counted(number: int, noun: str) -> str:
    """``1 case``, ``2 cases``; of a noun that takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
