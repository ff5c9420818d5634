"""The part of a search that is written in C, and how it gets compiled and opened."""
