"""Showing what was found: tables for the terminal."""
