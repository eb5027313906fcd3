"""One module a command: `add_arguments(parser)` and `run(options)`, which gives a result with `as_json` and `__str__`."""
