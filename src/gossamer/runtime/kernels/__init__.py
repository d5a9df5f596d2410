"""Kernels, one file a family: each writes the LLVM module of one function."""
