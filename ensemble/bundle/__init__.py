"""A blend as one folder that predicts in a notebook without internet, and as ONNX."""
