"""LARS and the learning-rate schedule of SimCLR."""
