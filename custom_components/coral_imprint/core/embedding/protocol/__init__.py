"""The Open Inference Protocol, version 2, as the server and its clients both speak it."""
