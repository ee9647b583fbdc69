"""Reading order: ``parameters`` (what is chosen about the case), ``logic`` (what is done), ``widget`` (the panel)."""
