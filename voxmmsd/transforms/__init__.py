"""Augmentations of training patches beyond flips, rotations and intensity: one file a transform.

Each is a frozen dataclass of probabilities and ranges with three methods: ``bind`` to a label schema, ``draw`` the
parameters for a batch, ``apply`` them. Drawing comes first and looks at shapes alone; applying is pure and batched.
``transforms.listed`` knows them all by name; a new one is one file and one line there.
"""
