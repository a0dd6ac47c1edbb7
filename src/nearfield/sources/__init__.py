"""Where documents come from: each source is a finite run of rows, read with bounded memory."""
