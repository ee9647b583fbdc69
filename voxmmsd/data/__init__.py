"""From files to prepared arrays: find cases, read volumes, preprocess, store."""
