"""How good an encoder is, by protocol: kNN, linear, few labels. Figures stand beside raw pixels and an untrained encoder."""
