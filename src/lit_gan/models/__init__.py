"""Network pairs. Each file holds a `Generator` and a `Discriminator` in the words of
`lit_gan.game`."""
