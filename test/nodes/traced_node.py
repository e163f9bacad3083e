"""A node of this package that writes down which of the package's functions it calls, at its end.

The environment says which node (``TRACED_NODE``), and where to write (``TRACED_CALLS``).
"""

import importlib
import json
import os
import sys
import threading
from pathlib import Path

PACKAGE = "/depth_anything_ros/"
calls = []


def note(frame, event, _argument):
    path = frame.f_code.co_filename
    if event == "call" and PACKAGE in path:
        calls.append((path.rsplit(PACKAGE, 1)[1], frame.f_code.co_name))


if __name__ == "__main__":
    threading.setprofile(note)
    sys.setprofile(note)
    node = importlib.import_module(f"depth_anything_ros.nodes.{os.environ['TRACED_NODE']}")
    status = node.main()
    sys.setprofile(None)
    Path(os.environ["TRACED_CALLS"]).write_text(json.dumps(calls))
    sys.exit(status)
