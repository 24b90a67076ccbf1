"""What both Viatom families have in common; no ring of its own."""
