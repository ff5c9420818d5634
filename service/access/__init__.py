"""Who may ask for what, and how often: keys, scopes, rates. Knows no HTTP and no settings."""
