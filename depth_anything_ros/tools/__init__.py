"""The command ``depth_anything <verb>`` and what it runs; no ROS in here."""
