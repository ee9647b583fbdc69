"""Files of an exported MONAI bundle: what is the same for every model."""
