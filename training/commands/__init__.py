"""What `maskserve-train` prints and does, one command per file."""
