"""What is added to a token's embedding to say where it stands? For models that we train; outside attention."""
