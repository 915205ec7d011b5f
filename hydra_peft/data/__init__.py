"""Tasks as arrays in memory: uint8 images and integer labels."""
