"""`python -m lit_gan.analyze run=DIR analysis=NAME`: a look into a finished or stopped run."""

from lit_gan.cli.door import door

main = door("analyze", "lit_gan.tasks.analyze:analyze", "looking into")

if __name__ == "__main__":
    main()
