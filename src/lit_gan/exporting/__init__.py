"""A trained generator as files that other programs read, with a card that says what it is."""
