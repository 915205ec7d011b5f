"""Backbones: built by timm, with weights whose origin and hash are known."""
