"""Contrastive losses: pure functions of the projections z of the two views."""
