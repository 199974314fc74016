"""Standard streams that are closed, whose reader leaves early, or in another encoding. Imports
nothing heavy."""

import io
import os
import sys

DESCRIPTORS = {"stdin": 0, "stdout": 1, "stderr": 2}


def take_streams() -> None:
    """Makes this process, and those that it starts, independent of the terminal that it was started
    from.

    File names are read as UTF-8, as the content of every file is. A stream that was closed takes
    everything and shows nothing. Letters that the terminal's encoding lacks are printed as escapes.
    A reader that leaves, as `head` does, ends nothing. Streams that somebody has put in the place
    of Python's own are left alone.
    """
    speak_utf8()
    open_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and type(stream) is io.TextIOWrapper:
            encoding = stream.encoding
            # with PYTHONUNBUFFERED, as containers have it, nothing is held back until a line ends, or ever
            flushing = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
            output = Output(stream.detach(), encoding, "backslashreplace", **flushing)
            setattr(sys, name, output)
            setattr(sys, f"__{name}__", output)


def speak_utf8() -> None:
    """Starts this command again in Python's UTF-8 mode if the locale has another encoding.

    Python fixes the encoding of file names when it starts; without this, a file name means another
    file to a run under another locale, and Hydra's grammar cannot read an umlaut.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    terminal = f"{sys.stdout.encoding}:backslashreplace" if sys.stdout else "utf-8"
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONIOENCODING": terminal}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)


def open_closed() -> None:
    """Opens the null device in place of each standard stream that was closed.

    Otherwise the next file to be opened would get the stream's number, and with it whatever a
    library prints.
    """
    for name, descriptor in DESCRIPTORS.items():
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


class Output(io.TextIOWrapper):
    """A standard stream that sends everything to the null device once its reader has left."""

    def write(self, text: str) -> int:
        """Writes a text, or loses it once the reader has left."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self.abandon()
            return len(text)

    def flush(self) -> None:
        """Flushes what was written, or loses it once the reader has left."""
        try:
            super().flush()
        except BrokenPipeError:
            self.abandon()
            super().flush()

    def abandon(self) -> None:
        """Lets the descriptor lead to the null device, also for the processes that inherit it."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
