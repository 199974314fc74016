"""For tests of other things: runs that do not draw their curves, which takes longer than a few updates."""

import pytest

from lit_gan.callbacks import curves_figure


@pytest.fixture(scope="module", autouse=True)
def no_curves():
    """`curves.png` is not drawn; test_training_curves.py looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves_figure, "save_training_curves", lambda *_: None)
        yield
