"""Reads the CSV statements of one bank."""
