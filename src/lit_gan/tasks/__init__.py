"""What each command does: one file for each, named as the command is, and what several of them share."""
