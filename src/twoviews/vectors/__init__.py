"""What vectors of pictures are for: written in parts, read back, searched, compared with each other, and used to choose what to label."""
