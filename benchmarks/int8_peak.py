"""The fastest 8-bit matrix product that onnxruntime reaches on one core, as a yardstick.

Runs alone in a process: one line of JSON with the seconds of each size for each line of stdin.
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort

# (rows, inputs, outputs): the layers of a small model in cache, and large squares.
SIZES = ((256, 384, 1536), (256, 1536, 384), (1024, 1024, 1024), (2048, 2048, 2048))
_OPERATIONS = 2e9
"""How much is multiplied before the clock is read: some milliseconds."""


def open_product(inputs: int, outputs: int) -> ort.InferenceSession:
    """Unsigned times signed bytes, into int32: the kernel of every quantised graph."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, size=(inputs, outputs), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w", "zero"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["rows", outputs])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array(128, dtype=np.uint8), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def main() -> None:
    """Time every size once for each line that comes."""
    rng = np.random.default_rng(1)
    cases = []
    for rows, inputs, outputs in SIZES:
        x = rng.integers(0, 256, size=(rows, inputs), dtype=np.uint8)
        cases.append((2 * rows * inputs * outputs, open_product(inputs, outputs), x))
    for _ in sys.stdin:
        speeds = []
        for operations, product, x in cases:
            times = max(1, round(_OPERATIONS / operations))
            product.run(None, {"x": x})
            start = time.process_time()
            for _ in range(times):
                product.run(None, {"x": x})
            speeds.append(operations * times / (time.process_time() - start) / 1e9)
        print(json.dumps(speeds), flush=True)


if __name__ == "__main__":
    main()
