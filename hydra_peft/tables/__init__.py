"""From run folders to tables: collect, group into rows, compare with the paper, render."""
