"""From run folders to one web page that needs no network: ``scripts/report.py``."""
