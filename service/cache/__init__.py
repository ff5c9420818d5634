"""Two tiers of stored answers: this process, then Redis, then one computation for all."""
