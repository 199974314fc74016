"""Looks into a trained GAN. Each analysis is one class that turns a run into a table, a figure and
a sentence."""

from lit_gan.analysis.arithmetic import Arithmetic
from lit_gan.analysis.authenticity import Authenticity
from lit_gan.analysis.base import Analysis, Finding
from lit_gan.analysis.cas import CAS
from lit_gan.analysis.data_copying import DataCopying
from lit_gan.analysis.duplicates import Duplicates
from lit_gan.analysis.fid_infinity import FIDInfinity
from lit_gan.analysis.gradients import Gradients
from lit_gan.analysis.interpolation import Interpolation
from lit_gan.analysis.latent_recovery import LatentRecovery
from lit_gan.analysis.level_sets import LevelSets
from lit_gan.analysis.linear_probe import LinearProbe
from lit_gan.analysis.ms_ssim import MSSSIM
from lit_gan.analysis.neighbours import Neighbours
from lit_gan.analysis.perceptual_path_length import PerceptualPathLength
from lit_gan.analysis.power_spectrum import PowerSpectrum
from lit_gan.analysis.sefa import SeFa
from lit_gan.analysis.slopes import Slopes
from lit_gan.analysis.subject import Subject
from lit_gan.analysis.truncation import Truncation
from lit_gan.analysis.weights import SingularValues, SpectralNorms, Weights

__all__ = [
    "CAS",
    "MSSSIM",
    "Analysis",
    "Arithmetic",
    "Authenticity",
    "DataCopying",
    "Duplicates",
    "FIDInfinity",
    "Finding",
    "Gradients",
    "Interpolation",
    "LatentRecovery",
    "LevelSets",
    "LinearProbe",
    "Neighbours",
    "PerceptualPathLength",
    "PowerSpectrum",
    "SeFa",
    "SingularValues",
    "Slopes",
    "SpectralNorms",
    "Subject",
    "Truncation",
    "Weights",
]
