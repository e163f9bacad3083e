"""From images and cameras to depth and clouds, and from predictions and points to metres.

What nodes, commands and pages call; nothing here knows ROS. ``depth.DepthPipeline`` answers images
by a model, ``anchor.AnchorPipeline`` gives predictions their scale, ``answer.Answer`` is what comes
out of both, and ``options`` is what may be chosen.
"""
