"""Scores, the tables and pictures that show them, and the report; numpy, SciPy and matplotlib only."""
