"""The command line: one command per verb. It prints what the rooms below computed, and computes nothing itself."""
