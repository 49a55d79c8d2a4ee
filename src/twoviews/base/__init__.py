"""What everything else stands on: errors, files, keyed random numbers, devices, the console."""
