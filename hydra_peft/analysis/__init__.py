"""What trained branches are like: numbers about weights and features that figures show."""
