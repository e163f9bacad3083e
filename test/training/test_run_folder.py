import csv
import os
import resource

import pytest
import torch
from refusals import refused
from safetensors import safe_open

from depth_anything_ros.core.errors import TrainingError
from depth_anything_ros.training.recipe import from_mapping
from depth_anything_ros.training.run_folder import STATE_VERSION, Board, RunFolder, Table

VALUES = {"sources": [{}], "losses": {"ssi": 1}}
RECIPE = from_mapping(VALUES, "here")
STATE = {"step": 3, "network": {"w": torch.arange(4.0)}, "scores": {"abs_rel": 0.5}}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "runs" / "one")
    made.begin(RECIPE)
    return made


def test_a_state_is_what_was_saved(folder):
    assert not folder.has_state()
    folder.save_state(STATE)
    assert folder.has_state()
    found = folder.load_state()
    assert torch.equal(found["network"]["w"], torch.arange(4.0))
    assert (found["step"], found["scores"]) == (3, {"abs_rel": 0.5})
    assert {p.name for p in folder.path.iterdir()} == {"recipe.yaml", "state.pt"}


@pytest.mark.parametrize("kept", [0, 1, 300])
def test_a_damaged_state_is_refused(folder, kept):
    folder.save_state(STATE)
    folder.state_file.write_bytes(folder.state_file.read_bytes()[:kept])
    with pytest.raises(TrainingError, match=r"state\.pt.*begin anew with --restart") as caught:
        folder.load_state()
    assert caught.value.reason == "damaged" and "\n" not in str(caught.value)


def test_a_state_with_code_in_it_is_not_run(folder, tmp_path):
    class Shell:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"version": STATE_VERSION, "step": Shell()}, folder.state_file)
    with pytest.raises(TrainingError, match="cannot read") as caught:
        folder.load_state()
    assert "weights_only" not in str(caught.value) and "trust" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("state", [{"version": STATE_VERSION + 1}, {}, [1]])
def test_a_state_of_another_version_is_refused(folder, state):
    torch.save(state, folder.state_file)
    with pytest.raises(TrainingError, match="written by another version"):
        folder.load_state()


def test_a_run_goes_on_with_its_own_recipe_only(folder):
    free = from_mapping(VALUES | {"log_every": 3, "validate": {"views": 3}, "workers": 7}, "")
    folder.check(RECIPE)
    folder.check(free)
    other = from_mapping(
        VALUES | {"seed": 1, "steps": 3, "batch_size": 2, "losses": {"ssi": 2}}, "there"
    )
    with refused(TrainingError, "other_recipe") as caught:
        folder.check(other)
    for part in ("seed was 0 and is 1", "steps was 1000 and is 3", "; ...; ", "--restart"):
        assert part in str(caught.value)


def test_a_new_run_removes_what_would_be_mixed_up(folder):
    folder.save_state(STATE)
    for name in ("log.csv", "validation.csv", "panels/step_0000003.png", "tensorboard/events.1"):
        path = folder.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    own = folder.path / "panels" / "notes.txt"
    own.write_text("")
    folder.save_weights({"w": torch.zeros(1)}, {})
    folder.begin(RECIPE)
    left = {p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()}
    assert left == {"recipe.yaml", "weights.safetensors", "panels/notes.txt"}


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"cannot write into .*file/run: Not a directory; "):
        RunFolder(tmp_path / "file" / "run").begin(RECIPE)


def test_a_second_run_is_kept_out_until_the_first_has_ended(folder):
    folder.lock()
    other = RunFolder(folder.path)
    with refused(TrainingError, "locked") as caught:
        other.lock()
    assert f"another training writes into {folder.path} (process {os.getpid()} on" in str(
        caught.value
    )
    assert "wait until it has ended, or give another --output" in str(caught.value)
    folder.unlock()
    other.lock()
    other.unlock()


def test_a_full_disk_is_named_and_leaves_what_was_there(folder):
    """``/dev/full`` is a disk that takes nothing."""
    folder.save_state(STATE)
    before = folder.state_file.read_bytes()
    (folder.path / f".{folder.state_file.name}.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(TrainingError) as caught:
        folder.save_state({"network": torch.zeros(100_000)})
    message = str(caught.value)
    assert caught.value.reason == "disk" and message.isprintable()
    assert f"cannot write into {folder.path}: No space left on device (" in message
    assert "MB free); what was saved there before is whole" in message
    assert folder.state_file.read_bytes() == before
    assert {p.name for p in folder.path.iterdir()} == {"recipe.yaml", "state.pt"}


def test_logs_and_weights_on_a_full_disk(folder):
    table = Table(folder.path / "log.csv", ("step", "loss"), 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"cannot write into .*: .*File too large"):
            folder.save_weights({"w": torch.zeros(1000)}, {})
        with pytest.raises(TrainingError, match=r"cannot write into .*: File too large"):
            for step in range(100):
                table.add({"step": step, "loss": 1 / 3})
        with pytest.raises(TrainingError, match="cannot write into"):
            Table(folder.path / "log.csv", tuple(f"column{i}" for i in range(50)), 9)
        with pytest.raises(TrainingError, match="cannot write into"):
            table.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {p.name for p in folder.path.iterdir()} == {"recipe.yaml", "log.csv"}


@pytest.mark.parametrize("step", ["9" * 5000, "²", "", "x"])
def test_a_damaged_row_of_a_table_is_left_out(tmp_path, step):
    (tmp_path / "log.csv").write_bytes(f"step,loss\n1,2\n{step},3\n".encode() + b"\xff\xfe,1\n")
    Table(tmp_path / "log.csv", ("step", "loss"), 5).close()
    assert rows(tmp_path / "log.csv") == [["step", "loss"], ["1", "2"]]


def test_weights_are_float16_with_facts(folder):
    values = torch.tensor([[0.1, 1.0], [2.0, 3.0]]).t()  # not contiguous
    folder.save_weights({"w": values}, {"model": "tiny", "steps": "3 of 5"})
    with safe_open(folder.weights_file, "pt") as file:
        assert file.metadata() == {"model": "tiny", "steps": "3 of 5"}
        assert torch.equal(file.get_tensor("w"), values.half())
    assert not list(folder.path.glob("*.partial"))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_a_table_goes_on_after_the_step_of_the_state(tmp_path):
    path = tmp_path / "log.csv"
    table = Table(path, ("step", "loss"), 0)
    for step in (10, 20, 30):
        table.add({"step": step, "loss": 1 / step, "more": 1.0})
    table.close()
    assert rows(path) == [["step", "loss"], ["10", "0.1"], ["20", "0.05"], ["30", "0.0333333"]]
    with path.open("a") as file:
        file.write("4")  # a kill in the middle of a row that has the step of an earlier one
    table = Table(path, ("step", "loss", "ssi"), 20)
    table.add({"step": 30, "loss": 0.5, "ssi": 2.0})
    table.close()
    expected = [["step", "loss", "ssi"], ["10", "0.1", ""], ["20", "0.05", ""], ["30", "0.5", "2"]]
    assert rows(path) == expected


def test_no_tensorboard_is_asked_for(tmp_path):
    board = Board(tmp_path, "never", 0)
    board.add("train", {"loss": 1.0}, 1)
    board.close()
    assert not board.missing and not list(tmp_path.iterdir())


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    board = Board(tmp_path, "auto", 0)
    board.add("train", {"loss": 1.0}, 1)
    board.close()
    assert board.missing
    with pytest.raises(TrainingError, match=r"install tensorboard .*\(the extra") as caught:
        Board(tmp_path, "required", 0)
    assert caught.value.reason == "no_tensorboard"


def test_tensorboard_logs_are_those_of_one_run(tmp_path):
    """What a killed run logged after its state is hidden by what the next one logs."""
    pytest.importorskip("tensorboard", reason="pip install depth_anything_ros[train]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path, "required", 0)
    for step in (1, 2, 3):
        board.add("train", {"loss": 10.0 + step}, step)
    board.picture("panels", torch.zeros(4, 6, 3, dtype=torch.uint8).numpy(), 1)
    board.close()
    board = Board(tmp_path, "required", 1)
    board.add("train", {"loss": 0.5}, 2)
    board.close()
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    assert [(e.step, e.value) for e in log.Scalars("train/loss")] == [(1, 11.0), (2, 0.5)]
    assert [(e.width, e.height) for e in log.Images("panels")] == [(6, 4)]


@pytest.mark.parametrize("rest", [b'"' + b"x" * 200_000 + b'"\n', b"\0\0\n", b"9\xff,\n"])
def test_a_table_that_somebody_wrote_into(folder, rest):
    path = folder.path / "log.csv"
    path.write_bytes(b"step,loss\n1,0.5\n" + rest)
    try:
        Table(path, ("step", "loss"), 5).close()
        assert path.read_text().splitlines()[1] == "1,0.5"
    except TrainingError as error:
        assert f"cannot read {path}: field larger" in str(error) and "--restart" in str(error)
