"""The main job on made-up data: a seeded generator, small trained networks and pictures."""

from __future__ import annotations

from actspan.demo.made_up import check_demo_folder, write_made_up_dataset
from actspan.demo.show import DemoFiles, run_demo

__all__ = ["DemoFiles", "check_demo_folder", "run_demo", "write_made_up_dataset"]
