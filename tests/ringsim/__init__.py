"""Tests of the virtual rings and of the air around them."""
