"""The domain of the nodes that tools start is theirs alone on the machine."""

import os
import subprocess
import sys

import pytest

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.tools import node_process
from depth_anything_ros.tools.node_process import claim_domain, isolated_environment

DOMAIN = "ROS_DOMAIN_ID"
_SAYS_ITS_DOMAIN = """
from pathlib import Path
from depth_anything_ros.tools.node_process import isolated_environment
print(isolated_environment(Path("."))["ROS_DOMAIN_ID"])
"""


def test_processes_have_domains_of_their_own(tmp_path):
    own = isolated_environment(tmp_path)[DOMAIN]
    words = [sys.executable, "-c", _SAYS_ITS_DOMAIN]
    other = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert len({os.environ[DOMAIN], own, other.stdout.strip()}) == 3
    assert isolated_environment(tmp_path)[DOMAIN] == own


def test_a_domain_is_free_again_when_its_claim_ends(monkeypatch):
    monkeypatch.setattr(node_process, "_DOMAINS", (2002, 2001))  # nobody else's
    (first, claim), (second, other) = claim_domain(), claim_domain()
    assert (first, second) == (2002, 2001)
    with other:
        with claim, pytest.raises(DepthAnythingError, match="all 2 ROS domains are claimed"):
            claim_domain()
        again, claim = claim_domain()
        claim.close()
    assert again == first


def test_the_users_own_domain_is_not_taken(monkeypatch):
    monkeypatch.setattr(node_process, "_DOMAINS", (2004, 2003))
    monkeypatch.setenv(DOMAIN, "2004")
    domain, claim = claim_domain()
    claim.close()
    assert domain == 2003
