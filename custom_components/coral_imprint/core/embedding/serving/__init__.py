"""The parts of the inference server: protocol, models, workers, HTTP. Knows nothing of pictures but their pixels."""
