"""Encoders f and projection heads g: the paper's ResNets, a small convolutional network, timm's and torchvision's models, your own."""
