"""Training: losses, data, pseudo-labels and the trainer."""
