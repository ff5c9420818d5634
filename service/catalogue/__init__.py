"""Catalogues: files of items read, checked, stored as a table, and filtered."""
