"""What executes a network, which of them is taken, and how it proves itself."""
