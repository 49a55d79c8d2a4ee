"""`serve`: the local page to explore pictures. NiceGUI gives server (FastAPI, uvicorn) and widgets (Quasar) from files of its own, without a
network: upload by dropping, dialogs, keyboard and light or dark are then other people's well-tested code, and the page's state is Python.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..base.console import say
from ..base.errors import UserError
from ..base.names import default_out, one_line
from ..base.settings import options_of
from .config import ServeConfig
from .explore import LABELS, Explorer

SHOWN = 24
LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(encoder: str | Path, images: str | Path, out: str | Path | None = None, *, browser: bool = False, **options: Any) -> None:
    """Serve the page until the process is stopped. `out` takes labels and classifier: default RUN/labels, or labels/ here.

    `options` are fields of ServeConfig; `browser` opens one. Raises UserError for what can be mended before, a port in use among it.
    """
    config = options_of(ServeConfig, options)
    nicegui = library()
    free(config.host, config.port)
    folder = Path(out) if out is not None else (Path(encoder) / "labels" if Path(encoder).is_dir() else default_out(images, "labels"))
    explorer = Explorer(encoder, images, folder, config)
    address = f"http://{'[::1]' if config.host == '::1' else config.host}:{config.port}/"
    say(f"{len(explorer):,} pictures at {address} ; labels go to {folder / LABELS}. Ctrl+C ends it")
    if config.host not in LOCAL:
        say(f"--host {config.host}: everybody who reaches this machine can look at the pictures and change the labels")
    else:
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        nicegui.app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL))  # no foreign name may lead a browser here
    answers(nicegui.app, explorer)
    if browser:
        nicegui.app.on_startup(lambda: show(address))
    nicegui.ui.run(
        lambda: Page(explorer).build(), host=config.host, port=config.port, title="twoviews", dark=None, show=False, reload=False, show_welcome_message=False
    )  # fmt: skip


def library() -> Any:
    """NiceGUI. Raises UserError where it is not installed."""
    try:
        import nicegui
    except ImportError as error:
        raise UserError('serve needs NiceGUI: pip install "twoviews[serve]"') from error
    return nicegui


def free(host: str, port: int) -> None:
    """Raises UserError where nobody can listen at this address: the port is in use, or it is not this machine's."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}:{port}: {error.strerror or error}. Is it in use? --port {port % 65535 + 1} is another"
        ) from error


def show(address: str) -> None:
    """Open a browser, or say that there is none."""
    try:
        opened = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        say(f"no browser could be opened; open {address} yourself")


def answers(app: Any, explorer: Explorer) -> None:
    """What the page asks for beside its widgets: pictures, and neighbours as JSON."""
    from fastapi import HTTPException, Response

    def row_of(row: int) -> int:
        if not 0 <= row < len(explorer):
            raise HTTPException(404, f"there are pictures 0 to {len(explorer) - 1}")
        return row

    @app.get("/picture/{row}")
    def picture(row: int) -> Response:
        try:
            data = explorer.picture(row_of(row))
        except HTTPException:
            raise
        except Exception as error:  # a picture that is gone or has changed: the page shows its name
            raise HTTPException(404, str(error)) from error
        return Response(data, media_type="image/webp", headers={"Cache-Control": "max-age=3600"})

    @app.get("/near/{row}")
    def near(row: int, k: int = SHOWN) -> list[dict[str, Any]]:
        found = explorer.near(row_of(row), max(1, min(k, 1000)))
        return [{"row": other, "path": explorer.vectors.paths[other], "similarity": round(value, 6)} for other, value in found]


class Page:
    """One browser's view of the Explorer. Labels are shared: they are the Explorer's."""

    def __init__(self, explorer: Explorer):
        from nicegui import ui

        self.ui, self.explorer = ui, explorer
        self.title, self.asked, self.found, self.note = "", None, [], ""
        self.query: str = ""  # a dropped picture as a data: URL
        self.last: Callable[[], None] = self.show_unsure

    def build(self) -> None:
        """The page."""
        ui = self.ui
        ui.colors(primary="#1f5fa8")
        ui.add_head_html("<script>document.documentElement.lang = 'en'</script>")
        ui.add_css(
            ".card img { width: 100%; aspect-ratio: 1; object-fit: contain; display: block } .grid { display: grid; gap: .6rem;"
            " grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)) } .name { overflow-wrap: anywhere; font-size: .8rem; line-height: 1.25 }"
            " .pictured { padding: 0; width: 100%; border-radius: 4px; overflow: hidden } .asked { outline: 3px solid #d2601a }"
            " .side { flex: 1 1 16rem; max-width: 22rem } .main { flex: 3 1 20rem; min-width: 0 } .q-uploader__header a { display: none }"
            " .body--dark { --q-primary: #8cbcf0 !important } .body--dark .bg-primary, .body--dark .bg-primary *, .body--dark .q-uploader__header * { color: #14161a !important }"
        )
        with ui.element("div").classes("w-full"):
            ui.label(f"{len(self.explorer):,} pictures, {one_line(self.explorer.embedder.subject.text)}").props(
                "role=heading aria-level=1"
            ).classes("text-lg font-bold")
            with ui.row().classes("w-full gap-6 items-start"):
                with ui.column().classes("side"):
                    files = ui.upload(label="Drop a picture here", auto_upload=True, on_upload=self.dropped)
                    files.props("accept=image/* flat bordered").classes("w-full")
                    ui.button("Choose a picture", on_click=lambda: files.run_method("pickFiles")).props("outline")
                    self.name = ui.input("Name to give", autocomplete=list(self.explorer.counts())).classes("w-full").props("clearable")
                    ui.label("Type a name, then press the tag under each picture that deserves it.").classes("name")
                    self.counted = ui.column().classes("w-full gap-1")
                    with ui.row():
                        ui.button("What is it unsure of?", on_click=self.show_unsure).props("outline")
                        ui.button("Labelled", on_click=self.show_labelled).props("outline")
                        ui.button("Save classifier", on_click=self.save)
                        ui.button("Labels as CSV", on_click=self.download).props("outline")
                with ui.column().classes("main"):
                    self.heading = ui.label().props("role=heading aria-level=2 aria-live=polite").classes("text-lg")
                    self.grid = ui.element("div").classes("grid w-full")
        self.refresh_labels()
        self.show_unsure()

    def show_near(self, row: int) -> None:
        """A picture, then its neighbours."""
        self.query = ""
        self.last = lambda: self.show_near(row)
        self.draw(f"Nearest to {one_line(self.explorer.vectors.paths[row])}", [(row, None), *self.explorer.near(row, SHOWN)], asked=row)

    def show_unsure(self) -> None:
        """What to label next."""
        self.last, self.query = self.show_unsure, ""
        guess = self.explorer.guess
        title = "Unsure: the two likeliest classes are closest here" if guess else "Some pictures to begin with: name a few of each class"
        self.draw(title, [(row, None) for row in self.explorer.unsure(SHOWN)])

    def show_labelled(self) -> None:
        """What has a name."""
        self.last, self.query = self.show_labelled, ""
        rows = sorted(self.explorer.given, key=lambda row: (self.explorer.given[row], row))
        self.draw(f"{len(rows)} labelled pictures", [(row, None) for row in rows[: 20 * SHOWN]])

    async def dropped(self, event: Any) -> None:
        """Neighbours of a picture from outside."""
        data = await event.file.read()
        event.sender.reset()
        try:
            found = await asyncio.to_thread(self.explorer.near_file, data, SHOWN)
            picture = await asyncio.to_thread(self.explorer.picture_of, data)
        except UserError as error:
            self.ui.notify(f"{event.file.name}: {error}", type="negative")
            return
        self.query = f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
        self.last = lambda: self.draw(f"Nearest to {event.file.name}", found)
        self.last()

    def draw(self, title: str, found: Sequence[tuple[int, float | None]], asked: int | None = None) -> None:
        """Cards of pictures under a heading."""
        ui = self.ui
        self.heading.text = title
        self.grid.clear()
        with self.grid:
            if self.query:
                with ui.element("figure").classes("card asked"):
                    image(ui, self.query, "the picture that was dropped")
            for row, value in found:
                self.card(row, value, row == asked)

    def card(self, row: int, value: float | None, asked: bool) -> None:
        """A picture that leads to its neighbours, its name, what it is taken for, and the tag that names it."""
        ui, explorer = self.ui, self.explorer
        path = one_line(explorer.vectors.paths[row])
        given = explorer.given.get(row)
        with ui.element("figure").classes("card asked" if asked else "card"):
            button = ui.button(on_click=lambda: self.show_near(row)).props("flat no-caps").classes("pictured")
            button.props["aria-label"] = f"Neighbours of {path}"
            with button:
                image(ui, f"/picture/{row}", path)
            with ui.element("figcaption").classes("name"):
                ui.label(path if len(path) <= 40 else f"…{path[-38:]}")
                if explorer.guess and not given:
                    name, p = explorer.guess.of(row)
                    ui.label(f"{name}? {100 * p:.0f} %")
                elif value is not None and not explorer.guess:
                    ui.label(f"{value:.3f}")
            tag = ui.button(given or "name it", icon="sell", on_click=lambda: self.toggle(row)).props(
                "dense no-caps size=sm" + ("" if given else " outline")
            )
            tag.props["aria-label"] = f"{path} is {given}: take the name away" if given else f"Give {path} the name"

    async def toggle(self, row: int) -> None:
        """Give a picture the name that is typed, or take its name away where it has that one."""
        name = " ".join((self.name.value or "").split())
        given = self.explorer.given.get(row)
        if not name and not given:
            self.ui.notify("Type a name first", type="warning")
            return
        self.explorer.label(row, None if not name or name == given else name)
        await asyncio.to_thread(self.explorer.fit)
        self.refresh_labels()
        self.last()

    def refresh_labels(self) -> None:
        """Names with their counts; a click types the name."""
        ui, counts = self.ui, self.explorer.counts()
        self.name.set_autocomplete(list(counts))
        self.counted.clear()
        with self.counted:
            for name, count in counts.items():
                ui.button(f"{name}: {count}", on_click=lambda name=name: self.name.set_value(name)).props("flat dense no-caps align=left")

    async def save(self) -> None:
        """The classifier's files."""
        try:
            folder = await asyncio.to_thread(self.explorer.save)
        except UserError as error:
            self.ui.notify(str(error), type="warning")
            return
        self.ui.notify(f"Saved in {one_line(str(folder))}: labels.csv, encoder.safetensors, classifier.safetensors", type="positive")

    def download(self) -> None:
        """labels.csv to the browser."""
        file = self.explorer.out / LABELS
        if not file.is_file():
            self.ui.notify("No picture has a name yet", type="warning")
            return
        self.ui.download.content(file.read_bytes(), LABELS)


def image(ui: Any, source: str, text: str) -> None:
    """A picture with its name for those who cannot see it. The text goes in as a value, never as markup."""
    made = ui.element("img")
    made.props["src"], made.props["alt"] = source, text
