"""From a machine with network to one without: everything in one zip, checked before anything of it is installed."""
