from __future__ import annotations

import numpy as np

from tests.ops.draw import floats
from tests.ops.ort_judge import nchw, nhwc, run_ort, run_real


def test_batch_norm_equals_onnx_runtime() -> None:
    rng = np.random.default_rng(0)
    x = floats(rng, 2, 5, 6, 4)
    gamma, beta, mean = (floats(rng, 4) for _ in range(3))
    var = np.abs(floats(rng, 4)) + np.float32(0.01)
    (theirs,) = run_ort("BatchNormalization", [nchw(x), gamma, beta, mean, var], epsilon=1e-3)
    (ours,) = run_real("BATCH_NORM", [x], [gamma, beta, mean, var], epsilon=1e-3)
    np.testing.assert_allclose(ours, nhwc(theirs), rtol=1e-4, atol=1e-5)
