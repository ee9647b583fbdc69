"""Lesions, their diameters, what becomes of them from visit to visit, and the categories of RANO 2.0."""
