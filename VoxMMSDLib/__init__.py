"""What both modules share and needs Slicer: nodes to files and back, the child process, dependencies, settings."""
