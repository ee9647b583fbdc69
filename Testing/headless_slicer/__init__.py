"""A host for the modules outside Slicer: real MRML and real Qt, strict thin stand-ins for the rest (see README.md).

Reading order: ``api`` (what real Slicer offers, as data), ``pythonqt`` (Qt as PythonQt shows it), ``qt_module`` and
``ctk_module``, ``mrml_widgets``, ``application``, ``scripted`` and ``parameter_nodes``, ``host`` (puts it together).
"""
