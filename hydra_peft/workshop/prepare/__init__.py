"""Public data sets, from their original files to prepared tasks."""
