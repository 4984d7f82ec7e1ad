"""What is added to a token's embedding for its position? For models that we train; outside attention."""
