"""What a pretrained model is made of: layers, channels, frequencies, numeric precision."""
