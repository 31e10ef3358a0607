"""From video to snippet features: decoding, the snippet grid, backbones, the two streams."""

from actspan.video.backbone import Backbone, BackboneFile, find_backbone
from actspan.video.decode import VideoFile
from actspan.video.extract import DEFAULT_GRID, Extracted, ExtractRequest, extract_videos
from actspan.video.extractor import Ending, Extractor, Part
from actspan.video.grid import Grid, Span
from actspan.video.sources import find_videos

__all__ = [
    "DEFAULT_GRID",
    "Backbone",
    "BackboneFile",
    "Ending",
    "ExtractRequest",
    "Extracted",
    "Extractor",
    "Grid",
    "Part",
    "Span",
    "VideoFile",
    "extract_videos",
    "find_backbone",
    "find_videos",
]
