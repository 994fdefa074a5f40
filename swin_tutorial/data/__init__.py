"""Photographs for the chapters, labeled images for training, and the batches made of them.

Read in this order: ``paths``, ``photographs``; ``labelled``, ``formats``, ``image_sets`` (sets held
in memory); ``augmentation``, ``randaugment``; ``decoding``, ``workers``, ``folders`` (sets held in
files); ``batches``.
"""
