"""What runs on the other side: a Python of its own, which gives up its rights and then runs a program. It imports the
standard library alone."""
