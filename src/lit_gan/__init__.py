"""GAN experiments: architecture, loss, regularizers, optimizer, data and metrics, each chosen on the command line."""
