"""grulet_export: torch and ONNX models to `.grulet` files, with proof.

    from grulet_export import export
    report = export(torch_module_or_onnx, "net.grulet")

Needs torch, onnx and onnxruntime (``pip install 'grulet[export]'``); what runs on the device is `grulet`.
"""

from typing import Any

from grulet_export.errors import ExportMismatch, UnsupportedGraph
from grulet_export.exporting import export, verify
from grulet_export.quality.result import Quality
from grulet_export.report import Comparison, Report

__all__ = ["Comparison", "ExportMismatch", "Quality", "Report", "UnsupportedGraph", "export", "load_module", "verify"]


def load_module(factory: str, checkpoint: str | None = None) -> Any:
    """Import and make the torch module that ``package.module:factory`` names (see `grulet_export.loading`)."""
    from grulet_export.loading import load_module as load  # torch is not needed to convert ONNX

    return load(factory, checkpoint)
