"""Pretraining of the embedded backbone `vit_mini`.

The source task is supervised classification of procedurally drawn scenes. Its symbols, outlines
and patterns are invented here; no image and no drawing routine of the benchmark `mini` is used.
"""
