"""What the companion app adds to the inference server: its options, its token, its announcement, and that it keeps running."""
