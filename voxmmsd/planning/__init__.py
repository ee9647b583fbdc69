"""Before a training: what it needs here, and a folder that holds all of it for another machine."""
