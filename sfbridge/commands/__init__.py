"""What can be asked on the command line, one module each: `declare` adds its arguments, its function does the work."""
