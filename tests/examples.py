"""Small synthetic dataset folders and bundles for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from actspan import Bundle, PemConfig, PipelineConfig, TemConfig
from actspan.config.bmn import BmnConfig, MapAxes
from actspan.config.stages import ClassifierConfig, FeatureSpec, FusionConfig
from actspan.model.manifest import Source
from actspan.model.weights import dilated_layers, weight_shapes
from actspan.runtime.export import export_bundle

CHANNELS, STRIDE = 6, 0.5


def write_dataset(
    folder: Path,
    *,
    videos: int = 4,
    subsets: tuple[str, ...] = ("training", "validation"),
    channels: int = CHANNELS,
    spec: str | None = f"[features]\nchannels = {CHANNELS}\nstride_seconds = {STRIDE}\n",
    seed: int = 0,
) -> Path:
    """Write a dataset of `videos` videos whose features show their one to three actions."""
    rng = np.random.default_rng(seed)
    (folder / "features").mkdir(parents=True)
    database = {}
    for i in range(videos):
        snippets = int(rng.integers(20, 60))
        duration = snippets * STRIDE
        cuts = np.sort(rng.uniform(0, duration, 2 * int(rng.integers(1, 4)))).reshape(-1, 2)
        values = rng.normal(size=(snippets, channels))
        centres = (np.arange(snippets) + 0.5) * STRIDE
        for start, end in cuts:
            values[(centres > start) & (centres < end), 0] += 3
        np.save(folder / "features" / f"video{i}.npy", values.astype(np.float32))
        database[f"video{i}"] = {
            "subset": subsets[i % len(subsets)],
            "duration": duration,
            "annotations": [{"segment": cut.tolist(), "label": "act"} for cut in cuts],
        }
    write_annotations(folder, database)
    if spec is not None:
        (folder / "dataset.toml").write_text(spec)
    return folder


def write_annotations(folder: Path, database: Mapping[str, Any]) -> None:
    document = {"version": "test", "taxonomy": [], "database": database}
    (folder / "annotations.json").write_text(json.dumps(document))


def edit_annotations(folder: Path, video: str, **changes: Any) -> None:
    database = json.loads((folder / "annotations.json").read_text())["database"]
    database[video] |= changes
    write_annotations(folder, database)


def write_bundle(
    folder: Path,
    *,
    channels: int = CHANNELS,
    length: int = 20,
    hidden: int = 8,
    members: int = 1,
    dilated: int = 0,
    curves: int = 0,
    tem: bool = True,
    mode: Literal["rescale", "window"] = "rescale",
    label_free: float = 0.0,
    features: FeatureSpec | None = None,
) -> Bundle:
    """Write a small bundle with random weights, scaled so that scores spread over (0, 1).

    With learnt curves PEM has two hidden layers.
    """
    rng = np.random.default_rng(7)

    def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
        made = {}
        for name, shape in shapes.items():
            inputs = int(np.prod(shape[1:]))
            made[f"{name}.weight"] = rng.normal(size=shape, scale=3 / np.sqrt(inputs))
            made[f"{name}.bias"] = rng.normal(size=shape[0])
        return {name: array.astype(np.float32) for name, array in made.items()}

    tem_config = TemConfig(
        channels=channels,
        length=length,
        hidden=hidden,
        members=members,
        dilated=dilated,
        curves=curves,
    )
    inner = (hidden, hidden // members, 3)
    tem_weights = weights(
        conv1=(hidden, channels, 3),
        conv2=inner,
        **dict.fromkeys(dilated_layers(dilated), inner),
        conv3=(tem_config.outputs, hidden, 1),
    )
    for layer in dilated_layers(dilated):
        tem_weights[f"{layer}.weight"] /= 10  # so that sums do not grow with layers
    tem_weights["conv3.weight"] *= 20
    config = PipelineConfig(
        tem=tem_config if tem else None, mode=mode, fusion=FusionConfig(label_free=label_free)
    )
    inputs, layers = config.pem_inputs, 2 if curves else 1
    pem_config = PemConfig(hidden=hidden, inputs=inputs, layers=layers)
    linear = {"fc1": (hidden, inputs), **({"fc2": (hidden, hidden)} if curves else {})}
    linear[f"fc{layers + 1}"] = (1, hidden)
    pem_weights = weights(**linear)
    if curves:  # its three layers divide by 10
        pem_weights |= {n: 5 * w for n, w in pem_weights.items() if n.endswith("weight")}
    bundle = Bundle.create(
        folder,
        config=msgspec.structs.replace(config, pem=pem_config),
        features=features or FeatureSpec(channels=channels),
        source=Source(note="synthetic, for tests"),
        weights={
            **({"tem": tem_weights} if tem else {}),
            "pem": pem_weights,
        },
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def write_bmn_bundle(
    folder: Path,
    *,
    channels: int = CHANNELS,
    length: int = 20,
    mode: Literal["rescale", "window"] = "rescale",
    axes: MapAxes = "duration-start",
    durations: int | None = None,
    label_free: float = 0.0,
    features: FeatureSpec | None = None,
) -> Bundle:
    """Write a small bundle of BMN with random weights, scaled so that scores spread over (0, 1)."""
    sizes = {"base": 8, "sampled": 8, "matched": 8, "hidden": 8, "samples": 4}
    config = BmnConfig(channels=channels, length=length, axes=axes, durations=durations, **sizes)
    rng, weights = np.random.default_rng(7), {}
    for name, shape in weight_shapes(config).items():
        gain = 0.5 if name.endswith("bias") else 3 if shape[0] <= 2 else 1.4  # the last layers
        scale = gain / np.sqrt(np.prod(shape[1:]))
        weights[name] = rng.normal(size=shape, scale=scale).astype(np.float32)
    bundle = Bundle.create(
        folder,
        config=PipelineConfig(bmn=config, mode=mode, fusion=FusionConfig(label_free=label_free)),
        features=features or FeatureSpec(channels=channels),
        source=Source(note="synthetic, for tests"),
        weights={"bmn": weights},
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def add_classifier(bundle: Bundle, labels: tuple[str, ...] = ("jump", "long run")) -> Bundle:
    """Add a classifier with random weights, whose labels differ from segment to segment."""
    assert bundle.features.channels is not None
    config = ClassifierConfig(labels=labels, channels=bundle.features.channels, hidden=8)
    rng, weights = np.random.default_rng(3), {}
    for name, shape in weight_shapes(config).items():
        scale = 1 if name.endswith("bias") else 4 / np.sqrt(shape[-1])
        weights[name] = rng.normal(size=shape, scale=scale).astype(np.float32)
    return bundle.add_classifier(config, weights)


def write_inputs(folder: Path) -> Path:
    """Write a dataset `set`, a bundle `model` and a recording `a.csv`; return the folder."""
    write_dataset(folder / "set")
    write_bundle(folder / "model")
    rows = "".join(f"{0.1 * step:.1f},{step % 7}\n" for step in range(100))
    (folder / "a.csv").write_text(f"time,x\n{rows}")
    return folder
