# Stands in for Slicer's packaging of an extension, which packs what `install` puts into place.
