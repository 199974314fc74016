"""What can be chosen and set, out of the comments of the configs and the classes that they name."""
