"""The page of `ens demo`: Gradio takes the images, a template shows the answers."""

import os
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ensemble.demo.answers import Answers, ImageAnswer
from ensemble.errors import EnsembleError
from ensemble.numbers import percent
from ensemble.reporting.environment import environment_of
from ensemble.reporting.thumbnails import data_uri, tinted

LOOPBACK = "127.0.0.1"
MAX_FILE = "200mb"  # of an image that is dropped on the page


def check_installed() -> None:
    """Raises EnsembleError where Gradio is missing."""
    if find_spec("gradio") is None:
        raise EnsembleError(
            "`ens demo` needs gradio, which is not installed\npip install 'gradio>=6'"
        )


def html_of(answers: Sequence[ImageAnswer]) -> str:
    """What is shown of these images; images are inside the text."""
    environment = environment_of("ensemble.demo")
    environment.filters |= {
        "percent": percent,
        "picture": lambda pixels: data_uri(Image.fromarray(pixels), "JPEG"),
    }
    return environment.get_template("answers.html").render(answers=answers, tinted=tinted)


def serve(answers: Answers, name: str, host: str = LOOPBACK, port: int | None = None) -> Any:
    """Serve the page without blocking; returns Gradio's Blocks, with its address as local_url.

    Raises EnsembleError where no such port is free, or the address is not this machine's.
    """
    _check_address(host)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    uploads = TemporaryDirectory(prefix="ens-demo-")  # removed when the process ends
    os.environ["GRADIO_TEMP_DIR"] = uploads.name
    import gradio

    with gradio.Blocks(title=name, analytics_enabled=False) as page:
        gradio.Markdown(f"# {name}")
        files = gradio.File(
            label="images", file_count="multiple", file_types=["image"], elem_id="images"
        )
        shown = gradio.HTML(elem_id="answers")

        def show(paths: list[str] | None) -> str:
            return html_of(answers.of_images([Path(path) for path in paths or ()]))

        files.change(show, files, shown)
    fonts: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            max_file_size=MAX_FILE,
            theme=gradio.themes.Default(**fonts),  # its own fonts are on another server
        )
    except OSError as error:
        raise EnsembleError(
            f"--host {host}, --port {port or 'any'}: cannot be served ({error.strerror or error})\n"
            "choose another --port"
        ) from None
    page.uploads = uploads
    return page


def _check_address(host: str) -> None:
    """Raises EnsembleError for an address that this machine does not have; Gradio would wait."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as error:
        raise EnsembleError(
            f"--host {host[:100]}: is no address of this machine ({error.strerror})\n"
            f"{LOOPBACK} is for this machine alone, 0.0.0.0 for all that reach it"
        ) from None
