"""Anti-aliased drawing of shapes by signed distance, in plain numpy float64.

Coordinates are pixels: x grows to the right, y grows downwards, the centre of the first pixel is
(0.5, 0.5). Angles are radians, measured from the x axis towards the y axis (clockwise on screen).
All randomness comes from `numpy.random.RandomState`, whose streams numpy keeps frozen.
"""
