"""The bodies of the commands: a file of the same name for each, and files for what several of them
share."""
