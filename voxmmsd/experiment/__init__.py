"""The label-efficiency experiment of ``compare``: what it is, its runs, scores, tables and report."""
