"""Data sets, the endless sampler and the Lightning data module. One small file per kind of data set."""

from lit_gan.data.module import GANData
from lit_gan.data.scale import to_uint8, to_unit
from lit_gan.data.source import ImageFiles, Images, Source

__all__ = ["GANData", "ImageFiles", "Images", "Source", "to_uint8", "to_unit"]
