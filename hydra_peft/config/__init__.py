"""From yaml to typed, checked values."""
