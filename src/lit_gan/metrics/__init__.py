"""How good are the samples? Suites of metrics, the networks whose features they compare, and the protocols."""

from lit_gan.metrics.modes import ModeMetrics
from lit_gan.metrics.protocol import Protocol
from lit_gan.metrics.suite import FeatureMetrics

__all__ = ["FeatureMetrics", "ModeMetrics", "Protocol"]
