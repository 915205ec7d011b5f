"""The embedded benchmark `mini`: seven small tasks in three groups, made from fixed seeds.

Each module offers `CLASSES`, `TEST_SIZE` and `generate()`, which returns uint8 images
[1000 + TEST_SIZE, 32, 32, 3] and int64 labels; rows 0 to 799 are train800, 800 to 999 are val200
and the rest is the test set.
"""
