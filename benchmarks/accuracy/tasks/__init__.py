"""The tasks: each a module that knows its example, its test set and what may be trained on."""
