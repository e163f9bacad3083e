"""Depth models: the zoo of facts, the networks, their checkpoints, and DepthEstimator."""

from depth_anything_ros.models.card import ModelCard
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.zoo import card_names, find_card

__all__ = ["DepthEstimator", "ModelCard", "card_names", "find_card"]
