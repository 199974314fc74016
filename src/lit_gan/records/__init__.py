"""What a run leaves on disk, and how it is read again. Nothing here knows a network."""
