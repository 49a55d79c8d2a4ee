"""What can be read off features alone: kNN, ridge, logistic regression, and measures of quality that need no labels.

Pure functions of tensors. Training's monitors and the evaluation protocols both stand on them.
"""
