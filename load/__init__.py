"""What is measured of the service as a whole: the quality of its answers, and how it holds under load."""
