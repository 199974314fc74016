"""`python -m lit_gan.classify data=digits`: trains the classifier that metrics=classifier ships for
a data set."""

from lit_gan.cli.door import door

main = door("classify", "lit_gan.tasks.classify:classify")

if __name__ == "__main__":
    main()
