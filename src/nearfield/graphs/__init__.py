"""How is a model's graph run? Texts to tokens, tokens through OpenVINO or ONNX Runtime, in threads of their own."""
