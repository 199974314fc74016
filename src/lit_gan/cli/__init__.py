"""From the shell to a task: the command line, its settings, and mistakes answered in one
sentence."""
