"""Encoders: text in, unit vectors out; and the records of the models that do it."""
