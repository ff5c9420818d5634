"""Routes by noun. Each parses its wire form into a Query and hands it to `answer`."""
