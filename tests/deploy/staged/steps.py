"""The steps of a stage in a row, on small made-up data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actspan.deploy.deploy_requests import RunRequest, TemRequest
from actspan.deploy.staged.dumps import Dumps
from actspan.deploy.staged.host_steps import (
    write_pem_inputs,
    write_pem_results,
    write_tem_inputs,
    write_tem_results,
)
from actspan.deploy.staged.runner import run_net
from actspan.deploy.staged.stage import Stage
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset


@dataclass(frozen=True)
class Place:
    """A model, a dataset, and where the stage is to be."""

    model: Path
    dataset: Path
    stage: Path
    subset: str | None = None
    backend: str = "onnxruntime"

    def begin(self, **options: Any) -> Stage:
        request = TemRequest(self.model, self.dataset, self.stage, self.subset, **options)
        write_tem_inputs(request)
        return Stage.load(self.stage)

    def run(self, net: Literal["tem", "pem"], **options: Any) -> None:
        run_net(RunRequest(self.stage, self.model, net, backend=self.backend, **options))

    def up_to_pem(self) -> Stage:
        """A stage that waits for PEM's dumps."""
        stage = self.begin()
        self.run("tem")
        write_tem_results(stage, Dumps(stage.outputs("tem")))
        write_pem_inputs(stage)
        return stage

    def through(self) -> bytes:
        """The result of all steps."""
        stage = self.up_to_pem()
        self.run("pem")
        write_pem_results(stage, Dumps(stage.outputs("pem")))
        return (stage.path / "result.json").read_bytes()

    def proposed(self, out: Path) -> bytes:
        """The result of the main job."""
        propose(
            ProposeRequest(self.model, self.dataset, out, subset=self.subset, backend=self.backend)
        )
        return out.read_bytes()


def make_place(
    folder: Path, *, mode: Literal["rescale", "window"] = "rescale", videos: int = 5
) -> Place:
    """Features of 20 to 60 snippets, and small networks with T = 20."""
    write_bundle(folder / "bundle", mode=mode)
    write_dataset(folder / "set", videos=videos)
    return Place(folder / "bundle", folder / "set", folder / "stage")
