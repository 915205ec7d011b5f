"""Trained models in the forms of other libraries: timm's, peft's, ONNX, torch.export."""
