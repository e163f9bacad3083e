"""An engine that is installed and does not work."""


def make(estimator, precision, device):
    """Fail as a library does."""
    raise RuntimeError("its library is of another CPU\nand so on")
