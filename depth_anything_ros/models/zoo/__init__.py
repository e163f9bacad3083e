"""The zoo: facts of each checkpoint and family of networks, and rows of other packages."""

from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.cards import CARDS, card_names, find_card
from depth_anything_ros.models.zoo.family import Family

__all__ = ["CARDS", "Family", "ModelCard", "card_names", "find_card"]
