import csv
import os
import signal
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
import yaml
from lesson import CAMERA, HEIGHT, WIDTH, picture, write_drive, write_lesson
from safetensors import safe_open
from safetensors.torch import save_file

from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.tools.command import main

SIZE = f"[[{WIDTH}, {HEIGHT}, 1]]"


@pytest.fixture
def recipe(tmp_path):
    """A recipe of a small network on a small folder."""
    values = {
        "model": "test_metric",
        "device": "cpu",
        "steps": 100,
        "batch_size": 2,
        "sizes": [[WIDTH, HEIGHT, 1]],
        "sources": [{"kind": "folder", "path": str(write_lesson(tmp_path / "pictures"))}],
        "optimiser": {"lr": 2e-3, "warmup_steps": 5},
        "losses": {"log_l1": 1.0, "ssi": 0.1},
        "validate": {"every": 0},
        "ema_decay": 0.9,
        "precision": "fp32",
        "checkpoint_minutes": 0.002,
        "log_every": 4,
        "panel_every": 0,
        "tensorboard": "never",
        "workers": 1,
    }
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def one_thread():
    """As many threads as the processes have that a result is compared with."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def started(*words, launcher=()):
    """Start a run in a process of its own."""
    command = [sys.executable, "-m", *launcher, "depth_anything_ros", "train", *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def read_until(process, words):
    """Read lines up to one that begins with the words; return them."""
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith(words):
            return lines
    raise AssertionError(f"{words!r} is not in:\n" + "\n".join(lines))


def trained(recipe, output, *words):
    """Train in this process."""
    assert main(["train", "--recipe", str(recipe), "--output", str(output), *words]) == 0
    return output


def table(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def assert_same_end(one, other, tolerance):
    """Compare the float32 weights that two runs ended with, and their averages."""
    first, second = (torch.load(run / "state.pt", weights_only=True) for run in (one, other))
    assert first["step"] == second["step"]
    for part in ("network", "average"):
        pairs = [(values, second[part][name]) for name, values in first[part].items()]
        difference = max((a - b).abs().max().item() for a, b in pairs)
        print(f"largest difference of {part}: {difference:.2g}")
        assert difference <= tolerance


@pytest.mark.slow
def test_a_killed_run_ends_as_an_unbroken_one(recipe, tmp_path, one_thread):
    """SIGKILL and then SIGTERM in the middle, each of a process of its own; then to the end."""
    run = tmp_path / "broken"
    words = ("--recipe", recipe, "--output", run)
    with started(*words) as process:
        read_until(process, "step 20/100")
        process.send_signal(signal.SIGKILL)
        process.wait(300)
    assert process.returncode == -signal.SIGKILL
    step = torch.load(run / "state.pt", weights_only=True)["step"]
    assert 0 < step < 100
    with started(*words) as process:
        begin = read_until(process, "step ")[0]
        process.send_signal(signal.SIGTERM)
        end = process.stdout.read().splitlines()[-1]
    assert process.returncode == 0 and begin.endswith(f"from step {step}")
    assert end.startswith("stopped at step ") and end.endswith(
        "run the same command again to go on"
    )
    with started(*words) as process:
        assert process.communicate()[0].splitlines()[-1].startswith("finished: 200 pictures")
    unbroken = trained(recipe, tmp_path / "unbroken")
    assert_same_end(run, unbroken, 1e-5)
    rows, expected = table(run), table(unbroken)
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps)) and set(range(4, 101, 4)) <= {int(s) for s in steps}
    assert [row["pictures"] for row in rows] == [2 * step for step in steps]
    assert rows[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-4)
    hours = [row["hours"] for row in rows]
    assert sorted(hours) == hours


@pytest.mark.slow
def test_two_processes_do_what_one_accumulates(recipe, tmp_path, one_thread):
    launcher = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")
    words = ("--recipe", recipe, "--set", "steps=12")
    with started(*words, "--output", tmp_path / "two", launcher=launcher) as process:
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert said.count("step 12/12") == 1 and "on cpu x 2" in said  # one of the two talks
    one = trained(recipe, tmp_path / "one", "--set", "steps=12", "--set", "accumulate=2")
    assert_same_end(tmp_path / "two", one, 1e-4)
    for row, expected in zip(table(tmp_path / "two"), table(one), strict=True):
        assert row["pictures"] == expected["pictures"] == 4 * row["step"]
        for name in ("loss", "log_l1", "ssi", "gradient_norm"):
            assert row[name] == pytest.approx(expected[name], rel=2e-3), name
    with safe_open(tmp_path / "two" / "weights.safetensors", "pt") as file:
        assert file.metadata()["device"] == "2 x cpu"


@pytest.mark.slow
def test_a_pretrained_model_is_tuned_to_pictures_with_lidar(tmp_path, capsys):
    """recipes/finetune_metric.yaml, with a small network in the place of a released one."""
    card = find_card("test_metric")
    before = tmp_path / "before.safetensors"
    save_file(random_network(card, 1).state_dict(), before, metadata={"model": card.name})
    settings = {
        "model": card.name,
        "init": before,
        "sizes": SIZE,
        "sources.0.path": write_drive(tmp_path / "drive"),
        "validate.path": write_drive(tmp_path / "other_drive", 3, first=50),
        "validate.width": WIDTH,
        "validate.height": HEIGHT,
        "validate.every": 60,
        "steps": 60,
        "batch_size": 3,
        "optimiser.lr": 3e-3,
        "optimiser.warmup_steps": 5,
        "log_every": 5,
        "workers": 1,
    }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    run = trained("finetune_metric", tmp_path / "run", *words)
    rows = table(run)
    assert rows[-1]["pictures"] == 360  # the recipe takes two passes a step
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert "validation  abs_rel" in capsys.readouterr().out
    errors = [abs_rel(str(path)) for path in (before, run / "weights.safetensors")]
    assert errors[1] < 0.5 * errors[0]


def abs_rel(weights):
    """Return the error of a model on a picture that it was not tuned on."""
    estimator = DepthEstimator("test_metric", weights, "cpu", input_size=HEIGHT)
    rgb, depth = picture(99)
    return float(np.mean(np.abs(estimator.infer(rgb, CAMERA).depth_m - depth) / depth))


@pytest.mark.slow
def test_the_smoke_recipe_reaches_a_loss_well_below_its_start(tmp_path):
    """A quarter of its steps, on fewer views."""
    short = ("steps=120", "sources.0.count=12", "validate.every=0", "panel_every=0")
    words = [word for change in short for word in ("--set", change)]
    rows = table(trained("recipes/smoke.yaml", tmp_path, "--device", "cpu", *words))
    assert [row["step"] for row in rows] == list(range(10, 121, 10))
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[-1]["log_l1"] < 0.5 * rows[0]["log_l1"]


def test_minutes_and_restart(recipe, tmp_path, capsys):
    run = trained(recipe, tmp_path / "run", "--minutes", "0")
    assert "stopped at step 1 of 100" in capsys.readouterr().out
    trained(recipe, run, "--minutes", "0")
    assert "from step 1\n" in capsys.readouterr().out
    trained(recipe, run, "--minutes", "0", "--restart", "--set", "seed=5")
    assert "stopped at step 1 of 100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "tinny"), "no recipe 'tinny' (did you mean tiny?)"),
        (("--set", "stepz=3"), "unknown key stepz (did you mean steps?)"),
        (("--set", "model=tny"), "no model 'tny'; did you mean tiny"),
        (("--set", "sources.0.path=/absent"), "there is no folder /absent"),
        (("--set", "init=/absent.pth"), "/absent.pth"),
        (("--device", "tpu"), "there is no device 'tpu'"),
        (("--output", "/proc/run"), "cannot write into /proc/run"),
        (("--set", "init=~nosuchuser/a.pth"), "~nosuchuser/a.pth is no path"),
        (("--set", "sources.0.path=~nosuchuser"), "~nosuchuser is no path"),
        (("--set", "seed=0x" + "f" * 40), "seed is 1461501637330902918203684832716283019655932542"),
    ],
)
def test_an_error_is_one_line(recipe, tmp_path, command, words, message):
    assert_one_line(recipe, tmp_path, command, words, message)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"*.png": b""}, ".png"),  # of 60,000 x 60,000 pixels
        ({"*.json": b'{"width": 56, "height": 42, "K": null, "depth_scale_m": "mm"}'}, "'mm'"),
        ({"*.json": b"[" * 99999}, ".json, which is not JSON: it is nested too deeply"),
        ({"*_depth.npy": b"\x93NUMPY\x01\0\x10\0{'descr':'<f4'}\n"}, "write it with numpy.save"),
    ],
)
def test_a_broken_file_of_a_training_folder_is_named(recipe, tmp_path, command, files, message):
    folder = tmp_path / "pictures"
    for name, data in files.items():
        for path in list(folder.glob(name)):
            path.write_bytes(data or png_of(60_000, 60_000))
    assert_one_line(recipe, tmp_path, command, (), message)


def png_of(width, height):
    """A file that says it is a grey picture of this size, and holds no row of it."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def assert_one_line(recipe, tmp_path, command, words, message):
    common = ("--recipe", recipe, "--output", tmp_path / "run")
    assert message in command.refuses("train", *common, *words)
