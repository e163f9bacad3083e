"""Depth models: the zoo of facts, the networks, their checkpoints, and DepthEstimator."""

from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.zoo import card_names, find_card
from depth_anything_ros.models.zoo.card import ModelCard

__all__ = ["DepthEstimator", "ModelCard", "card_names", "find_card"]
