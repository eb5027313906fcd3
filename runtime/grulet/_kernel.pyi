"""Types of the cffi extension, as far as grulet.kernel uses it."""

from typing import Any

ffi: Any
lib: Any
