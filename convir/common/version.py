"""Which convir this is: what is kept on disk says it, too."""

__version__ = "0.1.0"
