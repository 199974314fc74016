"""`python -m lit_gan.sample run=DIR`: images from a finished or stopped run."""

from lit_gan.cli.door import door

main = door("sample", "lit_gan.tasks.sample:sample", "drawing samples of")

if __name__ == "__main__":
    main()
