"""The settings of every stage: one frozen struct each, defaults = the published ones.

Settings are read from TOML, where unknown keys are errors, and written to TOML without loss.
"""

from actspan.config.base import (
    Config,
    changed,
    dump_toml,
    from_dict,
    read_toml,
    require_setting,
    to_dict,
)
from actspan.config.stages import (
    BspConfig,
    ClassifierConfig,
    FeatureSpec,
    PemConfig,
    PgmConfig,
    PipelineConfig,
    RescaleConfig,
    SoftNmsConfig,
    TemConfig,
)
from actspan.config.training import (
    DEFAULT_PRESET,
    PRESETS,
    ClassifierTrainConfig,
    OptimConfig,
    PemLoss,
    PemTrainConfig,
    TemTrainConfig,
    TrainConfig,
    WindowTrainConfig,
    preset,
)
from actspan.config.video import ExtractionConfig, PictureConfig, Streams

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "BspConfig",
    "ClassifierConfig",
    "ClassifierTrainConfig",
    "Config",
    "ExtractionConfig",
    "FeatureSpec",
    "OptimConfig",
    "PemConfig",
    "PemLoss",
    "PemTrainConfig",
    "PgmConfig",
    "PictureConfig",
    "PipelineConfig",
    "RescaleConfig",
    "SoftNmsConfig",
    "Streams",
    "TemConfig",
    "TemTrainConfig",
    "TrainConfig",
    "WindowTrainConfig",
    "changed",
    "dump_toml",
    "from_dict",
    "preset",
    "read_toml",
    "require_setting",
    "to_dict",
]
