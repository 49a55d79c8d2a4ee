"""Pretraining: `config` and `recipes` say what, `step` is one step, `loop` the run, `checkpoint` and `log` what remains of it."""
