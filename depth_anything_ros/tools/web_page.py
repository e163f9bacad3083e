"""The page of ``depth_anything web``: its layout, and what happens where something is changed."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import ASSUMED_HFOV_DEG, PLAUSIBLE_VIEW_DEG
from depth_anything_ros.core.colormap import COLORMAPS, colorize
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.tools import web_session as session
from depth_anything_ros.tools.command import why
from depth_anything_ros.tools.web_examples import write_examples

# Gradio cuts videos by a program that the browser would fetch from another machine: no scissors.
STYLE = """
footer {display: none !important}
#title h1 {font-size: 1.4rem; margin-bottom: 0}
#depth img {max-height: 400px}
#video video {max-height: 300px}
button[aria-label^="Trim"] {display: none}
#reading p {font-variant-numeric: tabular-nums}
"""
# Of the system: no font is fetched from anywhere.
THEME = gr.themes.Default(
    primary_hue="blue",
    font=("system-ui", "sans-serif"),
    font_mono=("ui-monospace", "monospace"),
)
_HEIGHT = 400  # of results, in pixels
_ASK = "Click on the image to read a value."
# What the callbacks share: one answer at a time, however many people look.
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "network"}
_AT_ONCE: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
_KEPT_S = 3600  # files that were shown, and the answer to read values from


class Page:
    """The page, its models and its limits.

    Args:
        models: that may be chosen.
        limits: of what is taken.
        folder: for files, until they are sent.
    """

    def __init__(self, models: session.ModelChoice, limits: session.Limits, folder: Path) -> None:
        self.models, self.limits, self.folder = models, limits, folder
        with gr.Blocks(
            title="depth_anything", analytics_enabled=False, delete_cache=(600, _KEPT_S)
        ) as self.blocks:
            gr.Markdown("# Depth from one camera", elem_id="title")
            self._controls()
            with gr.Tab("Picture"):
                self._picture_tab()
            with gr.Tab("Video"):
                self._video_tab()
            self._absent()

    def serve(self, host: str, port: int) -> None:
        """Begin to serve; nothing is asked of any other machine."""
        self.blocks.queue(api_open=False, max_size=20)
        self.blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            max_file_size=int(self.limits.upload_mib * session.MIB),
            theme=THEME,
            css=STYLE,
        )

    def close(self) -> None:
        """Stop serving."""
        self.blocks.close(verbose=False)

    def _controls(self) -> None:
        with gr.Row():
            self.model = gr.Dropdown(
                self.models.names,
                value=self.models.first,
                label="Model",
                elem_id="model",
                scale=3,
                min_width=160,
            )
            self.colours = gr.Dropdown(
                list(COLORMAPS), value="inferno", label="Colours", elem_id="colours", min_width=140
            )
            self.hfov = gr.Slider(
                *PLAUSIBLE_VIEW_DEG,
                ASSUMED_HFOV_DEG,
                step=0.1,
                label="Camera's horizontal field of view [degrees]",
                elem_id="hfov",
                scale=5,
                min_width=300,
            )

    def _absent(self) -> None:
        if self.models.absent:
            with gr.Accordion(f"{len(self.models.absent)} more models", open=False):
                gr.Markdown(
                    "Their weights are not on this machine. Fetch them, and start this page anew.\n"
                    "\n" + "\n".join(self.models.absent_lines())
                )

    def _picture_tab(self) -> None:
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                picture = self._picture()
            with gr.Column(scale=3, min_width=300):
                results = _Results()
        estimate = gr.State(time_to_live=_KEPT_S)
        shared: dict[str, Any] = {
            "inputs": [picture, self.model, self.hfov, self.colours],
            "outputs": [self.hfov, estimate, *results.outputs],
            "trigger_mode": "always_last",
            "show_progress_on": [results.slider, results.depth, results.cloud],
            "api_visibility": "private",
            **_ONE_AT_A_TIME,
        }
        changed = [self.model.change, self.hfov.input, self.colours.change]
        results.show_cloud_after(picture.change(self._answer_new, **shared))
        results.show_cloud_after(gr.on(changed, self._answer, **shared))
        results.depth.select(_read, [estimate], [results.reading], **_AT_ONCE)

    def _picture(self) -> gr.Image:
        limits = self.limits
        picture = gr.Image(
            label=f"Picture, up to {limits.upload_mib:g} MiB and {limits.megapixels:g} megapixels",
            sources=["upload", "webcam", "clipboard"],
            height=300,
            elem_id="picture",
            buttons=[],
        )
        _as_uploaded(picture)
        examples = write_examples(self.folder)
        shelf = gr.Dataset(
            label="Or begin with one of these",
            components=[picture],
            samples=[[path] for path, _ in examples],
            type="index",
            elem_id="examples",
        )
        shelf.click(
            examples.__getitem__,
            [shelf],
            [picture, self.hfov],
            **_AT_ONCE,
        )
        return picture

    def _video_tab(self) -> None:
        limits = self.limits
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                video = gr.Video(
                    label=f"Video, up to {limits.upload_mib:g} MiB and {limits.frames} frames",
                    sources=["upload", "webcam"],
                    elem_id="video",
                    buttons=[],
                )
                _as_uploaded(video)
                steady = gr.Checkbox(
                    label="Steady",
                    info="Depth that does not flicker, by what moves from picture to picture",
                    elem_id="steady",
                )
                start = gr.Button("Answer the video", variant="primary", elem_id="start")
            with gr.Column(scale=3, min_width=300):
                result = gr.Video(
                    label="Video and depth",
                    interactive=False,
                    height=_HEIGHT,
                    elem_id="depth-video",
                    buttons=[],
                )
                files = _downloads(session.VIDEO_DOWNLOADS, "video-")
                said = gr.Markdown(elem_id="video-summary")
        outputs = [result, said, *files.values()]
        video.change(_no_video, [video], outputs, **_AT_ONCE)
        start.click(
            self._answer_video,
            [video, self.model, self.hfov, self.colours, steady],
            outputs,
            show_progress_on=[result],
            api_visibility="private",
            **_ONE_AT_A_TIME,
        )

    def _answer_video(
        self,
        path: str | None,
        model: str,
        hfov_deg: float,
        colours: str,
        is_steady: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio hands it over
    ) -> Iterator[list[Any]]:
        """Yield the files of a video; of what cannot be, nothing remains of the one before."""

        def done(count: int, of: int) -> None:
            progress((count, of), desc="Answering", unit="frames")

        try:
            if path is None:
                raise SourceError("there is no video yet: upload one, or record one")
            progress(0.0, desc="Loading the model, and looking for the range of the colours")
            pipeline = self.models.pipeline(model)
            with TemporaryDirectory(dir=self.folder) as folder:
                asked = self.models.asked(model, hfov_deg, colours, Path(folder), is_steady)
                files = session.predict_video(Path(path), asked, pipeline, self.limits, done)
                buttons = _buttons(session.VIDEO_DOWNLOADS, files)
                yield [files["side_by_side"], session.video_summary(files["json"]), *buttons]
        except Exception as error:
            yield _no_video()
            raise _shown_error(error) from error

    def _answer_new(
        self, path: str | None, model: str, hfov_deg: float, colours: str
    ) -> Iterator[list[Any]]:
        """As ``_answer``, of a new picture, whose file may say its field of view."""
        yield from self._answer(path, model, hfov_deg, colours, is_new=True)

    def _answer(
        self, path: str | None, model: str, hfov_deg: float, colours: str, is_new: bool = False
    ) -> Iterator[list[Any]]:
        """Yield what is shown; of what cannot be, nothing remains of the one before."""
        if path is None:
            yield _nothing()
            return
        try:
            picture = session.read_picture(Path(path), self.limits)
            own = picture.hfov_deg if is_new else None
            view = session.view_of(picture, self.models.pipeline(model), own or hfov_deg)
            painted = colorize(view.estimate.nearness(), colours)
            with TemporaryDirectory(dir=self.folder) as folder:
                files = session.write_files(view, colours, Path(folder))
                yield [gr.skip() if own is None else own, *_shown(view, painted, files)]
        except Exception as error:
            yield _nothing()
            raise _shown_error(error) from error


class _Results:
    """What is shown of an answer, and the buttons that download its files.

    Attributes:
        outputs: what an answer sets, in the order of ``_shown``.
    """

    def __init__(self) -> None:
        look: dict[str, Any] = {"interactive": False, "format": "jpeg", "buttons": ["fullscreen"]}
        with gr.Tabs():
            with gr.Tab("Compare") as compare_tab:
                self.slider = gr.ImageSlider(
                    label="Picture and depth", max_height=_HEIGHT, elem_id="compare", **look
                )
            with gr.Tab("Depth") as depth_tab:
                self.depth = gr.Image(label="Depth", elem_id="depth", **look)
                self.reading = gr.Markdown(_ASK, elem_id="reading")
            with gr.Tab("Point cloud") as cloud_tab:
                self.cloud = gr.Model3D(
                    label="Point cloud: drag to turn, scroll to zoom",
                    interactive=False,
                    height=_HEIGHT,
                    elem_id="cloud",
                )
        self.files = _downloads(session.DOWNLOADS)
        summary = gr.Markdown(elem_id="summary")
        self.outputs = [
            self.slider,
            self.depth,
            self.cloud,
            self.reading,
            summary,
            *self.files.values(),
        ]
        self._shows_cloud = gr.State(False)
        for tab, shows_cloud in ((compare_tab, False), (depth_tab, False), (cloud_tab, True)):
            chosen = tab.select(partial(bool, shows_cloud), None, [self._shows_cloud], **_AT_ONCE)
            self.show_cloud_after(chosen)

    def show_cloud_after(self, event: Any) -> None:  # noqa: ANN401 - of Gradio
        """Show the cloud after an event, where its tab is open.

        Gradio 6.31 never shows a Model3D that was first set while its tab was closed.
        """
        cloud, is_open = self.files["glb"], self._shows_cloud
        event.then(_if_open, [cloud, is_open], [self.cloud], **_AT_ONCE)


def _if_open(path: str | None, is_open: bool) -> str | None:
    return path if is_open else None


def _downloads(labels: Mapping[str, str], prefix: str = "") -> dict[str, gr.DownloadButton]:
    """Lay out a row of buttons, by the names of their files."""
    with gr.Row():
        return {
            name: gr.DownloadButton(
                label, interactive=False, size="sm", elem_id=f"{prefix}save-{name}", min_width=130
            )
            for name, label in labels.items()
        }


def _buttons(labels: Mapping[str, str], files: Mapping[str, Path]) -> list[gr.DownloadButton]:
    """Return what sets the buttons of ``_downloads``; without a file they are grey."""
    return [gr.DownloadButton(value=files.get(name), interactive=name in files) for name in labels]


def _shown(view: session.View, painted: NDArray[np.uint8], files: dict[str, Path]) -> list[Any]:
    small = session.shown(painted)
    pair = (session.shown(view.picture.rgb), small)
    buttons = _buttons(session.DOWNLOADS, files)
    return [view.estimate, pair, small, gr.skip(), _ASK, view.summary, *buttons]


def _nothing() -> list[Any]:
    return [gr.skip(), None, None, None, None, _ASK, "", *_buttons(session.DOWNLOADS, {})]


def _no_video(_path: str | None = None) -> list[Any]:
    return [None, "", *_buttons(session.VIDEO_DOWNLOADS, {})]


def _shown_error(error: Exception) -> Exception:
    """Return what the page shows of an error; a bug itself, which goes to the log."""
    said = why(error)
    if not said:
        return error
    shown: Exception = gr.Error(html.escape(said), duration=None, print_exception=False)
    return shown


def _read(estimate: Any, click: gr.SelectData) -> str:  # noqa: ANN401 - None before a picture
    return _ASK if estimate is None else session.reading(estimate, *click.index)


def _as_uploaded(component: Any) -> None:  # noqa: ANN401 - an Image or a Video
    """Have a component hand on the path of the file as it came, and of nothing but an upload.

    Gradio would open a picture with PIL before anybody has judged it, and fetch what an address
    names. (A subclass would make Gradio write a stub file into this package.)
    """
    keep: Callable[[Any], Any] = component.async_move_resource_to_block_cache

    async def uploads_only(path: Any) -> Any:  # noqa: ANN401 - a path or an address
        if "://" in str(path):
            raise gr.Error("Only uploaded files are taken, no addresses", print_exception=False)
        return await keep(path)

    component.async_move_resource_to_block_cache = uploads_only
    component.preprocess = lambda file: file and file.path
