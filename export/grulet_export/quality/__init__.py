"""What quantization did to a model: one measurement, shown as a table, as JSON and as an HTML page with pictures.

    quality = assess("net.grulet", float_program, quantized_program, material)
    print(quality)                              # a short table
    html = page(quality, material)              # one self-contained page

`export` and `verify` ask by a `Request`.  `assess` needs two programs of one model, the float one and the quantized
one.  Long runs go through the C kernel, both programs in step; what the kernel keeps to itself, the gates, comes from
the numpy oracle over fewer frames.
"""

from grulet_export.quality.assess import assess
from grulet_export.quality.material import Material
from grulet_export.quality.metric import Network, UserMetric
from grulet_export.quality.page import page
from grulet_export.quality.request import Answer, Request
from grulet_export.quality.result import Quality, TradeOff

__all__ = ["Answer", "Material", "Network", "Quality", "Request", "TradeOff", "UserMetric", "assess", "page"]
