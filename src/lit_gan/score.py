"""`python -m lit_gan.score images=FOLDER data=NAME`: the scores of images that were made elsewhere."""

from lit_gan.cli.door import door

main = door("score", "lit_gan.tasks.score:score", "scoring")

if __name__ == "__main__":
    main()
