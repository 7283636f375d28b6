"""A stand-in for the Lingma process, for machines that have neither the vendor's binary nor an account.

It is a program of its own: started with the binary's command line in a workdir of its own, it opens the same ports,
writes the same discovery files, logs the same lines and speaks the same protocol, strictly and counting. What it
knows is from the public notes of the reference; it contains no vendor code. Every secret-like value it hands out
contains the word SIM-SECRET.
"""
