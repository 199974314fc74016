"""Pictures of samples and of a training, and the style that all figures share."""
