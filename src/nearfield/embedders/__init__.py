"""How does text become a vector?

One file per embedder, and wrappers with the same face: `batching` gathers concurrent queries, `cached` remembers them.
"""
