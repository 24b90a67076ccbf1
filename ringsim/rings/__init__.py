"""Virtual rings, a family a file."""
