"""What people run today, each started as its users start it, and Nearfield; all behind `contender.Contender`."""
