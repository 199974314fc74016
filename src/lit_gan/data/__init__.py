"""Data sets, one small file for each kind, the endless sampler and the Lightning data module."""

from lit_gan.data.module import GANData
from lit_gan.data.scale import to_uint8, to_unit
from lit_gan.data.source import ImageFiles, Images, Source, StoredSplit

__all__ = ["GANData", "ImageFiles", "Images", "Source", "StoredSplit", "to_uint8", "to_unit"]
