"""NYU Depth V2's labelled file and its splits, of that layout, made here."""

import json
import struct
import sys

import numpy as np
import pytest

from depth_anything_ros.core.errors import DepthAnythingError, SourceError
from depth_anything_ros.core.protocols import NYU_EIGEN
from depth_anything_ros.tools.nyu import nyu_labelled

h5py = pytest.importorskip("h5py", reason="needs the extra datasets")
savemat = pytest.importorskip("scipy.io", reason="needs the extra datasets").savemat
HEIGHT, WIDTH = 48, 64
KINDS = ("kitchen", "bedroom", "kitchen", "study")


def write_labelled(path, **without):
    """Write four pictures as MATLAB 7.3 does: transposed, and words behind references."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (len(KINDS), HEIGHT, WIDTH, 3), np.uint8)
    depth = rng.uniform(1, 9, (len(KINDS), HEIGHT, WIDTH)).astype(np.float32)
    raw = depth.copy()
    raw[:, 3, 5] = 0
    with h5py.File(path, "w") as file:
        file["images"] = rgb.transpose(0, 3, 2, 1)
        file["depths"] = depth.transpose(0, 2, 1)
        file["rawDepths"] = raw.transpose(0, 2, 1)
        kinds = file.create_dataset("sceneTypes", (1, len(KINDS)), h5py.ref_dtype)
        for index, kind in enumerate(KINDS):
            letters = np.array([[ord(letter)] for letter in kind], np.uint16)
            kinds[0, index] = file.create_dataset(f"#refs#/{index}", data=letters).ref
        for name in without:
            del file[name]
    return rgb, raw


def write_splits(path, test=(2, 4), is_compressed=True):
    """Write splits.mat as the data set's own is: columns of whole numbers as doubles."""
    arrays = {"trainNdxs": [[1.0], [3.0]], "testNdxs": [[float(number)] for number in test]}
    savemat(path, arrays, do_compression=is_compressed)
    return path


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    return path, *write_labelled(path)


def test_pictures_and_measured_depth_are_turned_to_rows(labelled):
    path, rgb, raw = labelled
    found = nyu_labelled(path)
    pictures = list(found.pictures())
    assert found.numbers == (1, 2, 3, 4) and [p.group for p in pictures] == list(KINDS)
    assert [p.name for p in pictures] == ["0001", "0002", "0003", "0004"]
    for index, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture.rgb, rgb[index])
        depth = picture.truth.depth_m
        assert np.isnan(depth[3, 5]) and np.isnan(depth).sum() == 1
        np.testing.assert_array_equal(np.nan_to_num(depth), raw[index])
        # A tenth of 640 x 480.
        assert picture.camera.K[0] == pytest.approx(51.8857901)
        assert picture.rgb.flags.c_contiguous and picture.rgb.dtype == np.uint8


@pytest.mark.parametrize("is_compressed", [True, False])
def test_the_test_pictures_of_splits_mat(labelled, tmp_path, is_compressed):
    split = write_splits(tmp_path / "splits.mat", (2, 4, 3), is_compressed)
    found = nyu_labelled(labelled[0], split)
    assert found.numbers == (2, 4, 3)
    assert [p.name for p in found.pictures()] == ["0002", "0004", "0003"]


def test_a_list_of_numbers(labelled, tmp_path):
    split = tmp_path / "test.txt"
    split.write_text("4\n1\n")
    found = nyu_labelled(labelled[0], split)
    np.testing.assert_array_equal(next(found.pictures()).rgb, labelled[1][3])
    for text, told in (("5", "names picture 5"), ("0", "picture 0; "), ("", "picture none; ")):
        split.write_text(text)
        with pytest.raises(SourceError, match=f"{told}.* has 1 to 4"):
            nyu_labelled(labelled[0], split)


def test_what_cannot_be_used_is_told(labelled, tmp_path):
    bad = tmp_path / "bad.mat"
    bad.write_text("no")
    with pytest.raises(SourceError, match=r"as a MATLAB 7.3 file"):
        nyu_labelled(bad)
    with pytest.raises(SourceError, match=r"cannot read the split .*nowhere"):
        nyu_labelled(labelled[0], tmp_path / "nowhere.mat")
    other = tmp_path / "other.mat"
    savemat(other, {"n": [7]})
    with pytest.raises(SourceError, match="has n; expected testNdxs"):
        nyu_labelled(labelled[0], other)
    words = tmp_path / "words.txt"
    words.write_text("1 two")
    broken = tmp_path / "broken.mat"
    broken.write_bytes(bytes(128) + struct.pack("<II", 15, 4) + b"oops")
    for split in (words, broken, bad):
        with pytest.raises(SourceError, match=r"expected splits.mat, or numbers"):
            nyu_labelled(labelled[0], split)
    write_labelled(bad, rawDepths=None, images=None)
    with pytest.raises(SourceError, match="lacks images, rawDepths; expected nyu_depth_v2"):
        nyu_labelled(bad)


def test_without_h5py_the_extra_is_named(labelled, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    with pytest.raises(DepthAnythingError, match=r"install h5py scipy \(the extra \[datasets\]"):
        nyu_labelled(labelled[0])


def test_the_command_scores_the_split_with_eigen_s_crop(labelled, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split = write_splits(tmp_path / "splits.mat", (1, 3, 4))
    words = ["evaluate", "--dataset", "nyu", "--data", labelled[0], "--split", split]
    words += ["--weights", "random", "--device", "cpu", "--input-size", "28"]
    said = command.says(*words)
    assert not (tmp_path / "out" / "evaluate" / "panels").exists()
    report = json.loads((tmp_path / "out" / "evaluate" / "report.json").read_text())
    assert report["protocol"]["name"] == "nyu" and report["range_m"] == [0.001, 10]
    assert report["source"]["split"] == str(split)
    crop = NYU_EIGEN.mask(HEIGHT, WIDTH)
    assert not crop[3, 5]  # where the one hole is
    assert {row["pixels"] for row in report["worst_first"]} == {int(crop.sum())}
    assert set(report["groups"]) == {"kitchen", "study"}
    assert "kitchen (2)" in said
