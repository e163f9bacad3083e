"""Names of Depth Anything 3's parameters: from the published files' to this package's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from depth_anything_ros.models.weights.layouts import SWIGLU, UNITS, Rules, rename
from depth_anything_ros.models.weights.read import StateDict


def _count_from_0(match: re.Match[str]) -> str:
    """Count levels from 0 where the official names count from 1."""
    return f"{match[1]}{int(match[2]) - 1}."


# The package's own class puts ``model.`` before all names (api.py), and a nested network's parts
# have a name each. Then: model/da3.py, dinov2/, dpt.py, dualdpt.py, cam_enc.py and cam_dec.py of
# src/depth_anything_3 in ByteDance-Seed/Depth-Anything-3.
_PART = r"^((?:any_view\.|metric\.)?"
_RULES: Rules = (
    (r"^model\.", ""),
    (r"^da3\.", "any_view."),
    (r"^da3_metric\.", "metric."),
    (rf"{_PART})backbone\.pretrained\.", r"\1encoder.vit."),
    *SWIGLU,
    (rf"{_PART})head\.(?:scratch\.)?", r"\1decoder."),
    (rf"{_PART}decoder\.)projects\.", r"\1reassemble.project."),
    (rf"{_PART}decoder\.)resize_layers\.", r"\1reassemble.resample."),
    (rf"{_PART}decoder\.)layer([1-4])_rn\.", r"\1level.\2_"),
    (rf"{_PART}decoder\.)refinenet([1-4])_aux\.", r"\1ray_fusion.\2_"),
    (rf"{_PART}decoder\.)refinenet([1-4])\.", r"\1fusion.\2_"),
    (rf"{_PART}decoder\.\w+\.)([1-4])_", _count_from_0),
    *UNITS,
    (rf"{_PART}decoder\.)output_conv1\.", r"\1head1."),
    (rf"{_PART}decoder\.(?:sky_)?)output_conv2\.0\.", r"\1head2."),
    (rf"{_PART}decoder\.(?:sky_)?)output_conv2\.2\.", r"\1head3."),
    # Of the ray head's four sizes, the finest. All four share one norm, which safetensors files
    # hold under the first of its names only.
    (rf"{_PART}decoder\.)output_conv1_aux\.3\.", r"\1ray_head1."),
    (rf"{_PART}decoder\.)output_conv2_aux\.3\.0\.", r"\1ray_head2."),
    (rf"{_PART}decoder\.)output_conv2_aux\.\d\.2\.", r"\1ray_norm."),
    (rf"{_PART}decoder\.)output_conv2_aux\.3\.5\.", r"\1ray_head3."),
    (rf"{_PART})cam_enc\.", r"\1camera_encoder."),
    (rf"{_PART})cam_dec\.backbone\.", r"\1camera_decoder.hidden."),
    (rf"{_PART})cam_dec\.fc_t\.", r"\1camera_decoder.translation."),
    (rf"{_PART})cam_dec\.fc_qvec\.", r"\1camera_decoder.quaternion."),
    (rf"{_PART})cam_dec\.fc_fov\.0\.", r"\1camera_decoder.field_of_view."),
)
# Weights that published files hold and that nothing here runs: rays at coarser sizes, which only
# training reads, and Giant's heads for Gaussian splats.
_UNUSED = (
    r"(?:model\.)?(?:da3\.)?"
    r"(?:head\.scratch\.output_conv(?:1_aux\.[0-2]\.|2_aux\.[0-2]\.[05]\.).*|gs_head\..*"
    r"|gs_adapter\..*)"
)
_OFFICIAL = re.compile(r"(?:model\.)?(?:da3\.)?backbone\.pretrained\.")
_OWN = re.compile(r"(?:any_view\.)?encoder\.vit\.")


def to_ours(state: Mapping[str, Tensor]) -> StateDict | None:
    """Recognise the layout by its names, and rename; None where the layout is unknown."""
    if any(_OFFICIAL.match(name) for name in state):
        return rename(state, _RULES, _UNUSED)
    return dict(state) if any(_OWN.match(name) for name in state) else None
