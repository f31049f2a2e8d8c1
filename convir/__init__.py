"""convir: a small compiler for convolutional networks."""
