"""`python -m lit_gan.export run=DIR`: a trained generator for other programs, and for the Hub."""

from lit_gan.cli.door import door

main = door("export", "lit_gan.tasks.export:export", "exporting the generator of")

if __name__ == "__main__":
    main()
