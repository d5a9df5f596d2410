"""Gossamer in other libraries' training loops: each optional, each one file."""
