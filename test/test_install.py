"""The package as colcon installs it, and what package.xml and setup.py declare.

colcon comes from PyPI into a virtual environment of its own, ``.venv-colcon``, which is kept.
"""

import ast
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros import __version__
from depth_anything_ros.core.programs import EXTRAS

NAME = "depth_anything_ros"
EXECUTABLES = {
    "depth_node",
    "scale_anchor_node",
    "obstacles_node",
    "player_node",
    "sim_node",
    "view_node",
    "depth_anything",
}
# As README has it for a robot.
SETUPTOOLS = "setuptools>=77.0.3,<80"
COLCON_REQUIREMENTS = ("colcon-common-extensions", SETUPTOOLS)
# Where the module and its rosdep key differ.
KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "rerun": "rerun-sdk",
    "tf2_ros": "tf2_ros_py",
    "torch": "python3-torch",
    "yaml": "python3-yaml",
}
# The command that reads launch files: no import shows it.
NOT_IMPORTED = {"ros2launch"}


def run(command, **options):
    """Return stdout; fail with the command and the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-3000:]
        pytest.fail(
            f"{' '.join(map(str, command))} exited {done.returncode}:\n{said}", pytrace=False
        )
    return done.stdout


def repository_files(repository):
    """List tracked files, and those not ignored, so that a tree with changes works too."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=repository
    )
    names = sorted({name for name in listed.split("\0") if name})
    return [name for name in names if (repository / name).is_file()]


def colcon_environment():
    """The environment without what belongs to this process's own Python."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "AMENT_PREFIX_PATH")
    return {key: value for key, value in os.environ.items() if key not in dropped}


def make_colcon(venv):
    shutil.rmtree(venv, ignore_errors=True)
    run([sys.executable, "-m", "venv", venv], env=colcon_environment())
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", *COLCON_REQUIREMENTS]
    done = subprocess.run(pip, capture_output=True, text=True, env=colcon_environment())
    if done.returncode != 0:
        said = done.stderr[-2000:]
        pytest.fail(f"pip could not install colcon (network?): {said}", pytrace=False)


@pytest.fixture(scope="session")
def colcon(repository):
    """The colcon of .venv-colcon, made anew where its requirements or Python changed."""
    venv = repository / ".venv-colcon"
    stamp = venv / ".installed"
    wanted = "\n".join((sys.version, *COLCON_REQUIREMENTS))
    # Tests of this module may run in several processes: the first one makes it.
    with Path(tempfile.gettempdir(), f"colcon_{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            make_colcon(venv)
            stamp.write_text(wanted)
    return venv / "bin" / "colcon"


@pytest.fixture(scope="session")
def workspace(repository, tmp_path_factory):
    """A colcon workspace with a copy of the repository in src/."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in repository_files(repository):
        target = folder / "src" / NAME / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, target)
    return folder


@pytest.fixture(scope="session")
def installed(colcon, workspace):
    """The install folder of the package."""
    run([colcon, "build"], cwd=workspace, env=colcon_environment())
    return workspace / "install" / NAME


@pytest.fixture(scope="session")
def environment(installed, tmp_path_factory):
    """What a sourced setup.bash sets."""
    packages = next(installed.glob("lib/python*/site-packages"))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(packages), os.getenv("PYTHONPATH")))),
        "AMENT_PREFIX_PATH": os.pathsep.join(
            filter(None, (str(installed), os.getenv("AMENT_PREFIX_PATH")))
        ),
        "ROS_LOG_DIR": str(tmp_path_factory.mktemp("ros_log")),
    }


def script(installed, name):
    """The command that runs an installed script.

    colcon wrote its own interpreter into the first line, and that one has neither rclpy nor torch.
    """
    return [sys.executable, installed / "lib" / NAME / name]


@pytest.mark.slow
class TestInstalled:
    def test_colcon_finds_one_package(self, colcon, workspace):
        # pip_ros/ has a setup.py, and beside a ROS distribution it must never be built.
        listed = run([colcon, "list"], cwd=workspace, env=colcon_environment())
        assert [line.split("\t") for line in listed.splitlines()] == [
            [NAME, f"src/{NAME}", "(ros.ament_python)"]
        ]

    def test_ament_finds_it(self, installed, environment):
        assert (installed / "share/ament_index/resource_index/packages" / NAME).is_file()
        code = "from ament_index_python.packages import get_package_share_directory as share\n"
        found = run([sys.executable, "-c", f"{code}print(share({NAME!r}))"], env=environment)
        assert Path(found.strip()) == installed / "share" / NAME

    def test_manifest_launch_and_config_files(self, repository, installed):
        wanted = [
            name
            for name in repository_files(repository)
            if name == "package.xml" or name.startswith(("launch/", "config/"))
        ]
        assert {"package.xml", "launch/depth.launch.py", "config/depth.yaml"} <= set(wanted)
        share = installed / "share" / NAME
        missing = [name for name in wanted if not (share / name).is_file()]
        assert not missing, f"not installed, see data_files in setup.py: {missing}"
        for name in wanted:
            assert (share / name).read_bytes() == (repository / name).read_bytes(), name

    def test_executables(self, installed):
        folder = installed / "lib" / NAME
        assert {path.name for path in folder.iterdir()} == EXECUTABLES
        assert all(os.access(folder / name, os.X_OK) for name in EXECUTABLES)

    def test_every_module_imports_from_the_install_folder(
        self, repository, installed, environment, tmp_path
    ):
        names = module_names(repository / NAME)
        code = (
            "import importlib, json, sys\n"
            "names, extras = json.load(sys.stdin)\n"
            "def file(name):\n"
            "    try:\n"
            "        return importlib.import_module(name).__file__\n"
            "    except ModuleNotFoundError as error:\n"
            "        if error.name.partition('.')[0] not in extras:\n"
            "            raise\n"
            "found = {name: file(name) for name in names}\n"
            "print(json.dumps({name: path for name, path in found.items() if path}))"
        )
        files = json.loads(
            run(
                [sys.executable, "-c", code],
                input=json.dumps([names, ["av", "gradio", "ray", "rerun", "rosbags"]]),
                env=environment,
                cwd=tmp_path,
            )
        )
        elsewhere = {n: f for n, f in files.items() if not Path(f).is_relative_to(installed)}
        assert len(files) > 20
        assert not elsewhere

    def test_symlinks_can_be_installed(self, colcon, workspace):
        bases = ("--build-base", "linked_build", "--install-base", "linked")
        run([colcon, "build", "--symlink-install", *bases], cwd=workspace, env=colcon_environment())
        prefix = workspace / "linked" / NAME
        assert {path.name for path in (prefix / "lib" / NAME).iterdir()} == EXECUTABLES
        launched = prefix / "share" / NAME / "launch" / "depth.launch.py"
        assert launched.is_symlink() and launched.is_file()

    def test_command_starts(self, installed, environment, tmp_path):
        command = [*script(installed, "depth_anything"), "--help"]
        assert "demo" in run(command, env=environment, cwd=tmp_path)

    def test_depth_node_starts(self, installed, environment, tmp_path):
        # By its defaults, so that the weights must have been installed with it.
        check_start(installed, environment, tmp_path, "depth_node", {}, "/own/image")

    def test_scale_anchor_node_starts(self, installed, environment, tmp_path):
        topic = "/own/disparity/image_rect"
        check_start(installed, environment, tmp_path, "scale_anchor_node", {}, topic)

    def test_player_node_starts(self, installed, environment, tmp_path):
        cv2.imwrite(str(tmp_path / "picture.png"), np.full((48, 64, 3), 128, np.uint8))
        parameters = {"source": tmp_path / "picture.png"}
        check_start(installed, environment, tmp_path, "player_node", parameters, "playing")

    def test_sim_node_starts(self, installed, environment, tmp_path):
        parameters = {"frames": 2, "width": 64, "height": 48}
        check_start(installed, environment, tmp_path, "sim_node", parameters, "driving there")


def module_names(package):
    """List a package's modules by their files; __main__ would run the command."""
    names = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def check_start(installed, environment, folder, name, parameters, line):
    """Start a node, wait for a line of its log, and stop it as Ctrl-C does."""
    command = [*script(installed, name), "--ros-args", "-r", "__ns:=/own"]
    for key, value in parameters.items():
        command += ["-p", f"{key}:={value}"]
    log = folder / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=folder
        )
    try:
        deadline = time.monotonic() + 300
        while line not in log.read_text() and process.poll() is None:
            assert time.monotonic() < deadline, f"{name} did not say '{line}':\n{log.read_text()}"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        status = process.wait(300)
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert line in said, f"{name} exited {status}:\n{said}"
    assert (status, "Traceback" in said) == (0, False), f"{name} exited {status}:\n{said}"


def setup_arguments(repository):
    """The literal arguments of setup() in setup.py, by name."""
    tree = ast.parse((repository / "setup.py").read_text())
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    found = {}
    for keyword in call.keywords:
        try:
            found[keyword.arg] = ast.literal_eval(keyword.value)
        except ValueError:  # a name or a call: not a fact to compare
            continue
    return found


def manifest_keys(repository, *tags):
    manifest = ET.parse(repository / "package.xml").getroot()
    return {element.text for tag in tags for element in manifest.findall(tag)}


def unguarded_imports(path):
    """Yield the packages that a module imports at its top, but after an importorskip of them."""
    guarded = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0):
                names = [node.module]
            case ast.Expr(value=call) | ast.Assign(value=call):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.importorskip":
                    guarded.add(call.args[0].value.split(".")[0])
                continue
            case _:
                continue
        yield from {name.split(".")[0] for name in names} - guarded


def imported_packages(folder):
    """Map each top-level module that a folder imports, at any depth, to one file that does."""
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            found |= {name.split(".")[0]: path.relative_to(folder.parent) for name in names}
    ours = sys.stdlib_module_names | {NAME}
    return {name: path for name, path in found.items() if name not in ours}


class TestDeclared:
    def test_one_version(self, repository):
        manifest = ET.parse(repository / "package.xml").getroot()
        newest = re.search(r"^(\d+\.\d+\.\d+) \(", (repository / "CHANGELOG.rst").read_text(), re.M)
        versions = {
            "package.xml": manifest.findtext("version"),
            "setup.py": setup_arguments(repository)["version"],
            "CHANGELOG.rst": newest and newest[1],
            "__version__": __version__,
        }
        assert len(set(versions.values())) == 1, versions

    def test_every_import_is_declared(self, repository):
        setup = setup_arguments(repository)
        extras = [
            line
            for name, lines in setup["extras_require"].items()
            if name != "test"
            for line in lines
        ]
        requirements = [*setup["install_requires"], *extras]
        pip_names = {re.match(r"[\w-]+", line)[0] for line in requirements}
        keys = manifest_keys(repository, "depend", "exec_depend")
        imports = imported_packages(repository / NAME) | imported_packages(repository / "launch")
        missing = {
            name: str(path)
            for name, path in imports.items()
            if KEYS.get(name, name) not in keys | pip_names
        }
        assert not missing, f"neither in package.xml nor in setup.py: {missing}"

    def test_nothing_is_declared_in_vain(self, repository):
        imports = imported_packages(repository / NAME) | imported_packages(repository / "launch")
        used = {KEYS.get(name, name) for name in imports} | NOT_IMPORTED
        unused = sorted(manifest_keys(repository, "depend", "exec_depend") - used)
        assert not unused, f"exec_depend of package.xml that nothing imports: {unused}"

    def test_what_tests_import_is_declared(self, repository):
        ros = {"message_filters", "sensor_msgs_py", "tf2_ros"}
        keys = manifest_keys(repository, "depend", "exec_depend", "test_depend")
        imports = imported_packages(repository / "test")
        wanted = {n for n in imports if n in ros or n.endswith(("_msgs", "_interfaces"))}
        assert wanted
        missing = {n: str(imports[n]) for n in wanted if KEYS.get(n, n) not in keys}
        assert not missing, f"not in package.xml: {missing}"

    def test_errors_name_what_extras_bring(self, repository):
        extras = setup_arguments(repository)["extras_require"]
        bare = {name: {re.match(r"[\w-]+", n)[0] for n in lines} for name, lines in extras.items()}
        named = {
            name: {re.match(r"[\w-]+", one)[0] for one in shlex.split(text)}
            for name, text in EXTRAS.items()
        }
        assert named.items() <= bare.items()

    def test_tests_are_collected_without_extras(self, repository):
        """colcon test runs where only package.xml's and README's packages are."""
        setup = setup_arguments(repository)
        extras = {
            re.match(r"[\w-]+", line)[0].replace("-", "_")
            for lines in setup["extras_require"].values()
            for line in lines
        } - {"pytest", "hypothesis"}  # python3-pytest and python3-hypothesis of package.xml
        extras |= {"depth_anything_3"}
        assert {"imgviz", "onnx", "transformers"} <= extras
        imported = {
            f"{path.relative_to(repository)}: {name}"
            for path in (repository / "test").rglob("*.py")
            for name in unguarded_imports(path)
            if name in extras
        }
        assert not imported, "use pytest.importorskip"

    def test_readme_installs_what_a_robot_lacks(self, repository):
        text = (repository / "README.md").read_text()
        (line,) = re.findall(r"^ +venv/bin/pip install (.*)$", text, re.M)
        given = set(shlex.split(line))
        (workflow,) = (repository / ".github/workflows").glob("*.yml")
        assert f"venv/bin/pip install {line}\n" in workflow.read_text()
        needed = set(setup_arguments(repository)["install_requires"]) - {"setuptools"}
        bare = {re.match(r"[\w-]+", name)[0]: name for name in given}
        assert {"numpy<2", SETUPTOOLS} <= given
        assert {re.match(r"[\w-]+", name)[0] for name in needed} <= set(bare)
        bounds = {name for name in needed if re.match(r"torch|timm", name)}
        assert bounds <= given

    def test_commands_of_make_exist(self, repository):
        (targets,) = re.findall(r"^\.PHONY: (.*)$", (repository / "Makefile").read_text(), re.M)
        readme = (repository / "README.md").read_text()
        named = set(re.findall(r"\bmake ((?:demo|test|lint|install)[\w-]*)", readme))
        assert {"demo", "test", "test-all"} <= named <= set(targets.split())
        assert "make lint test-all\n" in (repository / ".ci/run").read_text()

    def test_executables_are_those_of_setup(self, repository):
        text = (repository / "setup.py").read_text()
        assert set(re.findall(r'f"(\w+) = \{NAME\}', text)) == EXECUTABLES
