"""Records on disk as types, for all who write or read them; the panels, too. Standard library only.

``findings`` (of a check), ``result`` (of ``segment`` and ``refine``). Records that only one room writes and reads are
beside their writers: ``models.package``, ``library.records``, ``corrections.verdict``, ``runs.folder``.
"""
