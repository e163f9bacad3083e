"""Files of weights: find, read, identify, convert, load and download them."""
