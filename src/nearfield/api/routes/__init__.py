"""One file per subject; each has a `router`. A route reads, calls one service, and writes the answer."""
