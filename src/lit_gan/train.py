"""`python -m lit_gan.train`: trains a GAN, measures it and shows it; or a whole sweep of them."""

from lit_gan.cli.door import door

main = door("train", "lit_gan.tasks.train:train")

if __name__ == "__main__":
    main()
