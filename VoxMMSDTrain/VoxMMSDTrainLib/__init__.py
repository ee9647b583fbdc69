"""Reading order: ``logic`` (what is done), ``widget`` (the panel), and a class per tab: ``library``, ``task``,
``run``, ``result``. A training belongs to no scene: what is chosen is kept in Slicer's settings, in no parameter node.
"""
