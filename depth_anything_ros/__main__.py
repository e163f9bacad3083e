"""``python -m depth_anything_ros <verb>`` is the command ``depth_anything <verb>``."""

from depth_anything_ros.tools.command import main

if __name__ == "__main__":
    raise SystemExit(main())
