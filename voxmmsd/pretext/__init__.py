"""Pretext methods: tasks for pre-training on unlabeled scans. One file per method."""
