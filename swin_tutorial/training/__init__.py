"""Training, from a preset to recorded results (chapters 07, 08 and 12).

Read ``loop`` first and ``step`` next: together they are the whole of training.  Around them stand
``config`` and ``recipes`` (what is trained), ``meter`` (what is measured), ``run_folder``, with
``files``, ``checkpoint`` and ``run_lock`` (what is kept, and that it stays whole), ``processes``
and ``machine`` (one or many, on what), ``evaluation`` and ``experiments`` (how good it is).
"""
