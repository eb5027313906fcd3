"""Shoulder exercises recognized by a smart watch: a GRU on six channels of motion, and an LSTM beside it."""
