"""What it is computed on: devices and their precision, and several processes at one training."""
