"""`python -m lit_gan.explore`: a page on this machine on which a trained generator answers."""

import logging
import os
import socket
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from lit_gan.build import choose_device
from lit_gan.errors import UserError
from lit_gan.exporting.folder import is_exported
from lit_gan.settings import EXPLORE, check_config
from lit_gan.tasks.chosen_run import chosen_run
from lit_gan.tasks.explored import explored_export, explored_run

if TYPE_CHECKING:
    from gradio import Blocks

HOST = "127.0.0.1"
"""The only address at which the page listens: other machines cannot reach it."""
PORTS = range(7860, 7960)
"""Where a free port is looked for: from Gradio's usual one on."""

LOCAL = {"server_name": HOST, "share": False, "ssr_mode": False, "mcp_server": False, "run_history": False}
LOCAL |= {"prevent_thread_lock": True, "quiet": True, "footer_links": []}
"""What Gradio's `launch` is told; the first row could otherwise be turned on by environment variables."""


def explore(config: DictConfig) -> None:
    """Serves a page about a run or an exported generator until Ctrl-C or another signal, as
    conf/explore.yaml describes.

    Raises:
        UserError: something that the user can put right.
    """
    directory = chosen_run(config)
    check_config(config, EXPLORE)
    require_gradio()
    port = chosen_port(config.port)
    device = choose_device(config.device)
    explored = (explored_export if is_exported(directory) else explored_run)(config, directory, device)
    from lit_gan.tasks.window import LOOK, window  # late, for it needs Gradio

    serve(window(explored, config.n, config.seed), LOOK, port)


def require_gradio() -> None:
    """Imports Gradio, and forbids it to report its use.

    Raises:
        UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import, after which it has asked already
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import_module("gradio")
    except ImportError as error:
        raise UserError("The window needs gradio: pip install 'lit_gan[explore]'.") from error


def chosen_port(port: int | None) -> int:
    """The port that was asked for or, if it is None, the first free one of `PORTS`.

    Raises:
        UserError: it is in use or forbidden, or none is free.
    """
    if port is None:
        port = next(filter(can_listen, PORTS), None)
        if port is None:
            raise UserError(f"port=null: none of {PORTS[0]} to {PORTS[-1]} is free; name another one.")
    elif not can_listen(port):
        raise UserError(
            f"port={port} is in use or forbidden: name another one, or leave it out for the first free one."
        )
    return port


def can_listen(port: int) -> bool:
    """Whether this process can listen at a port of `HOST`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of a window just closed is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def serve(page: "Blocks", look: Mapping[str, Any], port: int) -> None:
    """Shows a page until somebody asks for an end.

    Args:
        look: its theme and style, as Gradio's `launch` takes them.

    Raises:
        UserError: the port has been taken meanwhile.
    """
    reach_without_proxy()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells how Gradio looks at its own page
    try:
        page.launch(server_port=port, **LOCAL, **look)
    except OSError as error:
        raise UserError(f"port={port} has been taken meanwhile: name another one.") from error
    try:
        print(f"http://{HOST}:{port} is the page, for browsers on this machine only; Ctrl-C ends it", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:  # the usual way to close a window, and no failure
        print("closed")
    finally:
        page.close(verbose=False)


def reach_without_proxy() -> None:
    """Excepts `HOST` from the proxies of the environment: Gradio asks its own page whether it is
    there, and would ask them."""
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, [others, HOST]))
