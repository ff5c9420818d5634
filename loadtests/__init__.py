"""Load tests: real traffic against a running service, over HTTP and nothing else."""
