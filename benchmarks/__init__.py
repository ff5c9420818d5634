"""Measurements of Magpie beside what a user would otherwise pick."""
