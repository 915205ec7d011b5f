"""Many runs: planned, claimed, launched, watched."""
