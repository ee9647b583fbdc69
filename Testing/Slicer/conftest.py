"""Outside Slicer the modules' tests run in the headless host; inside Slicer this file is not read."""

from headless_slicer import host

host.start()
for name in host.MODULES:
    host.load_module(name)
