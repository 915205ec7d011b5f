"""From run folders to tables: collect, group into rows, render."""
