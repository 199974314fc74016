"""How good are the samples? Suites of metrics, networks that give features, and protocols."""

from lit_gan.metrics.base import Suite
from lit_gan.metrics.features import FeatureMetrics
from lit_gan.metrics.modes import ModeMetrics
from lit_gan.metrics.protocol import EvalProtocol

__all__ = ["EvalProtocol", "FeatureMetrics", "ModeMetrics", "Suite"]
