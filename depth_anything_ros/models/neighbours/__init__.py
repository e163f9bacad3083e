"""Models of other packages, as rows of the zoo by its own plug-in group (see setup.py).

A file a family: its rows, which there are where its package is installed, and its network.
"""
