"""The 3-D U-Net and the heads that read its feature pyramid."""
