"""The layers of the package: what each folder may import."""

import ast
import importlib.util
import subprocess
import sys

PACKAGE = "depth_anything_ros"
# Folder: the roots that it may import, besides the standard library.
ALLOWED = {
    "core": {"numpy", "cv2", "yaml", f"{PACKAGE}.core"},
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
        "rosbags",
        "h5py",
        "matplotlib",  # an extra, for plots
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
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
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
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=120
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
