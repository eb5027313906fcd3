"""One module a command: `add_arguments(parser)`, and `run(options)` whose result has `as_json` and `__str__`."""
