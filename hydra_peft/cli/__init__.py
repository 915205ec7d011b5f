"""What the scripts call: one module for each."""
