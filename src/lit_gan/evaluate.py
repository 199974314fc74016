"""`python -m lit_gan.evaluate run=DIR`: all metrics of a finished or stopped run."""

from lit_gan.cli.door import door

main = door("evaluate", "lit_gan.tasks.evaluate:evaluate", "scoring")

if __name__ == "__main__":
    main()
