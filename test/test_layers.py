"""The layers of the package: what each folder may import."""

import ast
import importlib.util
import subprocess
import sys

import pytest

PACKAGE = "depth_anything_ros"
# Folder: the roots that it may import, besides the standard library.
ALLOWED = {
    "core": {
        "numpy",
        "cv2",
        "yaml",
        "OpenEXR",  # the extra exr, imported where it is used
        f"{PACKAGE}.core",
    },
    "models": {
        "numpy",
        "torch",
        "timm",
        "safetensors",
        "huggingface_hub",
        "transformers",  # the extra hf, imported where it is used
        f"{PACKAGE}.core",
        f"{PACKAGE}.models",
    },
    "engines": {
        "numpy",
        "torch",
        "timm",
        # The extras openvino and onnx, imported where they are used.
        "openvino",
        "nncf",
        "rich",  # draws the bars of nncf
        "onnx",
        "onnxruntime",
        "onnxscript",
        PACKAGE,
        f"{PACKAGE}.core",
        f"{PACKAGE}.models",
        f"{PACKAGE}.sim",  # pictures to calibrate with
        f"{PACKAGE}.engines",
    },
    "pipeline": {
        "numpy",
        "cv2",
        f"{PACKAGE}.core",
        f"{PACKAGE}.models",
        f"{PACKAGE}.engines",
        f"{PACKAGE}.pipeline",
    },
    "sim": {"numpy", "cv2", "torch", f"{PACKAGE}.core", f"{PACKAGE}.sim"},
    "training": {
        "numpy",
        "cv2",
        "yaml",
        "torch",
        "timm",  # whose names the encoder's weights of ImageNet get
        "safetensors",
        f"{PACKAGE}.core",
        f"{PACKAGE}.models",
        f"{PACKAGE}.sim",
        f"{PACKAGE}.training",
    },
    "tools": {
        "numpy",
        "torch",
        "cv2",
        "imgviz",
        "gradio",  # the extra web
        "rosbags",
        "yaml",  # of the metadata of bags
        "matplotlib",  # an extra, for plots
        "av",  # the extra video, imported where it is used
        "ray",  # an extra likewise
        PACKAGE,
        f"{PACKAGE}.core",
        f"{PACKAGE}.models",
        f"{PACKAGE}.engines",
        f"{PACKAGE}.pipeline",
        f"{PACKAGE}.sim",
        f"{PACKAGE}.training",
        f"{PACKAGE}.tools",
    },
}
IMPORT_ALL = """
import importlib, pkgutil, sys
class NoRos:
    def find_spec(self, name, path=None, target=None):
        root = name.split(".")[0]
        if root in ("rclpy", "cv_bridge", "tf2_ros", "launch") or root.endswith("_msgs"):
            raise ImportError(f"{name} is blocked by the test")
sys.meta_path.insert(0, NoRos())
import depth_anything_ros
count = 0
for module in pkgutil.walk_packages(depth_anything_ros.__path__, "depth_anything_ros."):
    if ".nodes" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        count += 1
print(count)
"""


def imported(path):
    return imported_by(ast.parse(path.read_text()))


def imported_by(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            yield node.module


def test_each_folder_imports_only_what_its_layer_may(repository):
    for folder, allowed in ALLOWED.items():
        files = list((repository / PACKAGE / folder).glob("**/*.py"))
        assert files
        for path in files:
            for name in imported(path):
                root = name.split(".")[0]
                layer = ".".join(name.split(".")[:2]) if root == PACKAGE else root
                assert root in sys.stdlib_module_names or layer in allowed, f"{path}: {name}"


def test_everything_outside_nodes_imports_without_ros():
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 25


def test_core_and_the_command_line_do_without_torch():
    code = (
        "import sys, depth_anything_ros.core.camera, depth_anything_ros.core.cloud,"
        "depth_anything_ros.tools.command as command; command.build_parser();"
        "print('torch' in sys.modules or 'cv2' in sys.modules and 'timm' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_the_package_says_that_it_is_typed(repository):
    assert (repository / PACKAGE / "py.typed").is_file()
    assert importlib.util.find_spec(PACKAGE) is not None


# Of models/: the rooms that each may import besides itself; files beside them may import all.
ROOMS = {
    "zoo": set(),
    "networks": {"zoo", "device"},
    "weights": {"zoo", "networks"},
    "neighbours": {"zoo", "networks"},
}


def module_of(path, package):
    """The dotted name of a file, and of the package for its __init__."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(package):
    """Every module of the package, and the modules of it that its file imports, anywhere in it."""
    files = {module_of(path, package): path for path in package.glob("**/*.py")}
    drawn = {}
    for module, path in files.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                inner = named & files.keys()
                found |= inner if len(inner) == len(named) else inner | {node.module}
        drawn[module] = (found & files.keys()) - {module}
    return drawn


def circle(drawn):
    """The modules that import each other in a circle; none where there is no such."""
    left = {module: set(imports) for module, imports in drawn.items()}
    while ends := [module for module, imports in left.items() if not imports & left.keys()]:
        for module in ends:
            del left[module]
    return sorted(left)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]


@pytest.mark.parametrize("folder", ALLOWED)
def test_no_modules_import_each_other_in_a_circle(folder, repository):
    drawn = arrows(repository / PACKAGE)
    inside = {name: to for name, to in drawn.items() if name.split(".")[1:2] == [folder]}
    assert not circle(inside)


def test_the_arrows_between_the_rooms_of_models_go_one_way(repository):
    models = f"{PACKAGE}.models."
    for module, imports in arrows(repository / PACKAGE).items():
        room = module.removeprefix(models).split(".")[0]
        if module.startswith(models) and room in ROOMS:
            to = {name.removeprefix(models).split(".")[0] for name in imports if models in name}
            assert to <= {room, *ROOMS[room]}, module


def test_nothing_is_imported_inside_a_function_to_dodge_a_circle(repository):
    for path in (repository / PACKAGE / "models").glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = {name for name in imported_by(node) if name.startswith(PACKAGE)}
                assert not names, f"{path}: {node.name}"


def test_no_two_public_types_have_one_name(repository):
    found = {}
    for path in sorted((repository / "depth_anything_ros").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path.name)
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
