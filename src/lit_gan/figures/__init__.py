"""Pictures: of samples, of a training, and the style that all figures have."""
