"""Training, from a preset to recorded results (chapters 07, 08 and 12).

Read ``loop`` first and ``step`` next: together they are the whole of training.  Around them stand
``config`` and ``recipes`` (what is trained), ``meter`` and ``run_folder`` (what is measured and
kept), ``processes`` (one or many), ``evaluation`` and ``experiments`` (how good it is).
"""
