"""`python -m lit_gan.classify data=digits`: trains the classifier that metrics=classifier ships for a data set."""

from omegaconf import DictConfig

from lit_gan.cli.launch import launch


def classify(config: DictConfig) -> None:
    """Trains a classifier, prints its accuracy on held-out images and writes its weights in half precision."""
    from pathlib import Path

    import torch
    from hydra.utils import instantiate

    from lit_gan.errors import UserError
    from lit_gan.metrics.classifier import SHIPPED, train_classifier
    from lit_gan.records.files import replacing
    from lit_gan.settings import CLASSIFY, check_settings

    check_settings(config, CLASSIFY)
    source = instantiate(config.data)
    if len(source.shape) != 3:
        raise UserError(f"data={source.name} has no images: choose images with labels, such as data=digits.")
    if source.n_classes is None:
        raise UserError(f"data={source.name} has no labels: choose a data set with labels, such as data=digits.")
    path = Path(config.output or SHIPPED / f"{source.name}.pt")
    if path.is_dir():
        raise UserError(f"output={path} is a folder: name the file of weights, such as output={path / source.name}.pt.")
    network, accuracy = train_classifier(source, config.updates, config.seed)
    weights = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(weights, file)
    print(f"{path}: {accuracy:.2%} of held-out images right, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """The entry point."""
    launch(classify, "classify")


if __name__ == "__main__":
    main()
