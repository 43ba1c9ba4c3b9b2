"""Jobs that continue without a client, and the programs that run them."""
