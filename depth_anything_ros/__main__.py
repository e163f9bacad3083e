"""``python -m depth_anything_ros <verb>`` is the command ``depth_anything <verb>``."""

from depth_anything_ros.tools.command import main

raise SystemExit(main())
