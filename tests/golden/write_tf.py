"""Run in a process of its own, since TensorFlow and PyTorch do not share one gladly: arrays by official name → a checkpoint that TensorFlow writes.

python write_tf.py ARRAYS.npz OUT KIND, KIND is tf1 (names, with slots and a step), tf2 (object-based), savedmodel.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf


def tf1(arrays, out):
    with tf.Graph().as_default():
        for name, value in arrays.items():
            tf.compat.v1.get_variable(name, initializer=value)
            tf.compat.v1.get_variable(f"{name}/Momentum", initializer=np.zeros_like(value))
        tf.compat.v1.train.create_global_step()
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.train.Saver().save(session, out, global_step=250228)


def module(arrays):
    """Variables below attributes of other names, as the official model's are; their own names are the official ones."""
    root = tf.Module()
    root.layers = []
    for name, value in arrays.items():
        part = tf.Module()
        part.kept = tf.Variable(value, name=name)
        root.layers.append(part)
    return root


if __name__ == "__main__":
    source, out, kind = sys.argv[1:]
    with np.load(source) as file:
        arrays = dict(file)
    if kind == "tf1":
        tf1(arrays, out)
    elif kind == "tf2":
        tf.train.Checkpoint(model=module(arrays), global_step=tf.Variable(5, dtype=tf.int64)).write(out)
    else:
        tf.saved_model.save(module(arrays), out)
