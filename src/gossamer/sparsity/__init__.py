"""What goes: patterns, scores, solvers and allocation. Tensors in, tensors out; knows no model."""
