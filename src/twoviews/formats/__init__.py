"""Encoders for other tools: one module a format, each loaded again by the other tool in a test."""
