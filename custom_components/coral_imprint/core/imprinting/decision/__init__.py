"""From the scores of looks to one class that does not flap."""
