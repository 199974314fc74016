"""How exactly a GPU multiplies numbers in single precision."""

import torch


def use_tf32(on: bool) -> None:
    """Lets a GPU compute products of matrices and convolutions in TF32, or forbids it, in the whole
    process.

    TF32 rounds the factors to 10 bits of mantissa where float32 has 23, and sums in float32 (NVIDIA
    2020, "NVIDIA A100 Tensor Core GPU Architecture"). By itself torch forbids it in products of
    matrices and allows it in convolutions.
    """
    # not torch's newer `fp32_precision`: after it the getter that Lightning calls raises an error
    torch.set_float32_matmul_precision("high" if on else "highest")
    torch.backends.cudnn.allow_tf32 = on
