"""`python -m lit_gan.pack data=image_folder data.root=DIR`: decodes images that do not fit into memory
once for all runs."""

from lit_gan.cli.door import door

main = door("pack", "lit_gan.tasks.pack:pack")

if __name__ == "__main__":
    main()
