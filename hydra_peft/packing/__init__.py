"""Several runs in one pass: frozen products computed once over all batches, updates run by run."""
