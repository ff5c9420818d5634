"""Immutable index versions: built, verified, published, searched and swapped."""
