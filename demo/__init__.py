"""A real Home Assistant with virtual rings: what scripts/demo and tests/e2e drive."""
