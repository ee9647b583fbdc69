"""From a case and a model package to labels on the case's grid; on a CPU without torch."""
