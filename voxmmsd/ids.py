"""Ids of cases, patients and models: as names of files, and in an order that people expect."""

from __future__ import annotations

import re


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key: ``case2`` before ``case10``; total and independent of the locale."""
    parts = re.split(r"([0-9]+)", text)
    return (*((0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p), (2, 0, text))


def safe_id(text: str) -> str:
    """``text`` as a name of files on every system."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._ ") or "case"
