"""The verb export. (engines/test_export.py has the name that mirrors its file.)"""

import pytest


@pytest.mark.parametrize(
    ("form", "suffix", "package"),
    [("onnx", "onnx", "onnxscript"), ("openvino", "xml", "openvino"), ("torch-export", "pt2", "")],
)
def test_each_format_is_written_and_compared(form, suffix, package, command, tmp_path):
    if package:
        pytest.importorskip(package, reason=f"the extra of {form} is not installed")
    file = tmp_path / "new" / f"net.{suffix}"

    said = command.says(
        "export", "test_metric", "--weights", "random", "--format", form, "--output", file,
        "--picture", "200x150", "--input-size", "70",
    )  # fmt: skip

    assert file.stat().st_size > 1000
    lines = said.splitlines()
    assert lines[0].startswith(f"{file}: test_metric, {form} in fp32, ")
    assert "  size     any multiple of 14" in lines
    assert "  outputs  depth" in lines
    assert "  licence  Apache-2.0 (of the weights)" in lines
    assert [line.split(":")[0] for line in lines[-2:]] == [
        "  check    1x3x70x98",
        "  check    2x3x42x56",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("test_metric", "--output", "net.pt"), "net.pt must end in .onnx"),
        (("test_metric", "--output", "there.onnx"), "there.onnx is there already"),
        (("no_model", "--output", "net.onnx"), "there is no model 'no_model'"),
        (
            ("test_metric", "--output", "a.pt2", "--format", "torch-export", "--precision", "fp16"),
            "torch-export is written in fp32 only",
        ),
        (
            ("test_metric", "--output", "a.onnx", "--size", "70x98", "--input-size", "70"),
            "--size or --input-size, not both",
        ),
        (
            ("test_metric", "--weights", "random", "--output", "a.onnx", "--size", "70"),
            "--size takes two numbers as 518x686, got '70'",
        ),
        (
            ("test_metric", "--weights", "random", "--output", "a.onnx", "--size", "70x99"),
            "multiples of 14, got 99x70",
        ),
    ],
)
def test_what_cannot_be_is_one_line(words, message, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").touch()
    assert message in command.refuses("export", *words)
