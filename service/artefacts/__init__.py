"""Finished media by key, kept for a while outside of any one process, and signed links to them. Free of torch."""
