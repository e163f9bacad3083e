"""depth_node whose models ``truth`` and ``truth_any_view`` know the depth, with tf of the test."""

import sys

from anchor_with_tf import relay
from true_depth import TrueDepth

from depth_anything_ros.nodes.depth_node import DepthNode
from depth_anything_ros.nodes.running import run_node


class DepthNodeWithTruth(DepthNode):
    """A depth_node that has two models more."""

    def _make_estimator(self, **arguments):
        if arguments["model"] in ("truth", "truth_any_view"):
            return TrueDepth(any_view=arguments["model"] == "truth_any_view")
        return super()._make_estimator(**arguments)


if __name__ == "__main__":
    sys.exit(run_node(DepthNodeWithTruth, start=relay))
