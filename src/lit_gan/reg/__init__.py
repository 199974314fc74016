"""Everything that shapes the game beside the adversarial loss, in files by kind."""
