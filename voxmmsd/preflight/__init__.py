"""Checks before a case is segmented: what could spoil the result, and how to fix it."""
