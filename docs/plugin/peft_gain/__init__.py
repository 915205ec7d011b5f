"""A method and a metric for hydra_peft, in a package of their own."""
