"""Pretext methods: what a network is asked to do with unlabelled scans. One file per method."""
