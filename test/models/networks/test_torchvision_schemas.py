import subprocess
import sys

SCRIPT = """
import torch
from depth_anything_ros.models.networks import torchvision_schemas
assert hasattr(torch.ops.torchvision, "nms")
import timm, torchvision
print(torchvision.extension._has_ops(), torchvision_schemas.LIBRARY is not None)
"""


def test_timm_imports_and_schemas_are_declared_only_where_torchvision_has_none():
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300
    )

    assert result.returncode == 0, result.stderr
    has_operators, declared = result.stdout.split()
    assert has_operators != declared
