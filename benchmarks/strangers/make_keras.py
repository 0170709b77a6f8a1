"""Networks of keras.applications as TFLite files, by TensorFlow's converter: seeded weights, 96 x 96 images.

    python benchmarks/strangers/make_keras.py NAME:MODE OUT.tflite

MODE: float32, float16 (weights), dynamic (int8 weights, float activations) or int8. Run in an interpreter with TensorFlow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIZE = 96


def main(spec: str, out: str) -> None:
    import numpy as np
    import tensorflow as tf  # type: ignore[import-untyped,unused-ignore]

    name, mode = spec.split(":")
    tf.keras.utils.set_random_seed(0)
    net: Any = getattr(tf.keras.applications, name)(weights=None, input_shape=(SIZE, SIZE, 3), classes=100)
    rng = np.random.default_rng(0)
    for layer in net.layers:  # a trained network's statistics are not zero and one
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            w = layer.get_weights()
            w[-2] = rng.normal(0, 0.1, w[-2].shape)
            w[-1] = rng.uniform(0.5, 1.5, w[-1].shape)
            layer.set_weights(w)
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "int8":

        def samples() -> Iterator[list[Any]]:
            for _ in range(4):
                yield [rng.uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)]

        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    Path(out).write_bytes(converter.convert())


if __name__ == "__main__":
    main(*sys.argv[1:3])
