"""Analysis of trained branches: subspace similarity, branch outputs, intervals; no files."""
