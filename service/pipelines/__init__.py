"""Offline work: pull, export, build. Never imported by what serves."""
