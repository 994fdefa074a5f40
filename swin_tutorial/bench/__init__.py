"""Side-by-side timings: this package beside the public implementations, in one run, in turn.

``masks``, ``attention``, ``model``, ``capture`` and ``data`` each have one function, ``run``, that
prints a table, returns it, and writes it to a file.  Read the ratios: a time holds for one machine,
which each result names.
"""
