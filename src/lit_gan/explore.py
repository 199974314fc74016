"""`python -m lit_gan.explore run=DIR`: a page on this machine on which a trained generator answers."""

from lit_gan.cli.door import door

main = door("explore", "lit_gan.tasks.explore:explore", "opening a window on")

if __name__ == "__main__":
    main()
