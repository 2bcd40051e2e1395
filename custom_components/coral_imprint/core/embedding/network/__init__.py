"""Networks as files: reading, cutting, extending and writing TFLite models. Executes nothing."""
