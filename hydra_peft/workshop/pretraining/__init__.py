"""Pretraining of the embedded backbones `vit_mini` and `clip_mini`.

`vit_mini`'s source task is supervised classification of procedurally drawn scenes. Its symbols,
outlines and patterns are invented here; no image and no drawing routine of the benchmark `mini` is
used. `clip_mini` goes on from there with captioned scenes (`captioned.py`), which are drawn by the
routines of that benchmark's tasks and say what they ask for; none of its images is used.
"""
