"""Frames of rows, their types and their hash: pure, without a database."""
