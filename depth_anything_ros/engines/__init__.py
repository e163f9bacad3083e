"""Ways to run a network fast: torch, OpenVINO, ONNX Runtime and TensorRT."""
