"""Modules as people write them, of every kind that the torch front end takes, with an example where it needs one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LastLayerOfLstm(nn.Module):
    """Two LSTM layers and a head."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.lstm = nn.LSTM(7, 9, num_layers=2, batch_first=batch_first)
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, 7) -> (batch, time, 4)."""
        y, _ = self.lstm(x)
        return torch.softmax(self.head(y), dim=-1)


class Enhancer(nn.Module):
    """A causal Conv1d, a GRU, LayerNorm, a skip connection, two outputs."""

    grulet_example = torch.zeros(1, 9, 6)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 8, kernel_size=3, padding=2)
        self.gru = nn.GRU(8, 8, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.mask = nn.Linear(8, 6)
        self.voice = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(batch, time, 6) -> a mask as wide, and the chance of a voice."""
        features = torch.relu(self.conv(x.transpose(1, 2))[..., :-2].transpose(1, 2))
        y, _ = self.gru(features)
        y = self.norm(y + features)
        return {"mask": torch.sigmoid(self.mask(y)), "voice": torch.sigmoid(self.voice(y))}


class LanguageModel(nn.Module):
    """An embedding, two GRU layers, a head whose weights are the embedding's."""

    def __init__(self, tokens: int = 13) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, 8)
        self.gru = nn.GRU(8, 8, num_layers=2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(8, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, time) tokens -> logits of the next ones."""
        y, _ = self.gru(self.embedding(tokens))
        logits: Tensor = self.head(y)
        return logits


class Tagger(nn.Module):
    """An embedding and a bidirectional GRU: it needs the whole sentence."""

    grulet_example = torch.zeros(1, 5, dtype=torch.int64)

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, 8)
        self.gru = nn.GRU(8, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, time) tokens -> a tag each."""
        y, _ = self.gru(self.embedding(tokens))
        return torch.log_softmax(self.head(y), dim=-1)


class Residual(nn.Module):
    """GRU blocks with residual connections, over two inputs side by side."""

    grulet_example = (torch.zeros(7, 1, 4), torch.zeros(7, 1, 3))

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(7, 8)
        self.blocks = nn.ModuleList(nn.GRU(8, 8) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """(time, batch, 4) and (time, batch, 3) -> (time, batch, 8), and what was added on the way."""
        x = start = self.enter(torch.cat([left, right], dim=-1))
        for gru, norm in zip(self.blocks, self.norms, strict=True):
            x = x + gru(norm(x))[0]
        return x, 0.5 * (x - start)


class WithState(nn.Module):
    """A GRU whose state the caller keeps."""

    grulet_example = (torch.zeros(2, 7, 5), torch.zeros(2, 2, 6))

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 6, num_layers=2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, time, 5), (2, batch, 6) -> (batch, time, 3), (2, batch, 6)."""
        y, h = self.gru(x, h)
        return self.head(y), h


class Step(nn.Module):
    """One step of a GRU cell and an LSTM cell, states in and out."""

    grulet_example = (torch.zeros(3, 5), torch.zeros(3, 6), torch.zeros(3, 4), torch.zeros(3, 4))

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.lstm = nn.GRUCell(5, 6), nn.LSTMCell(6, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor, g: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(batch, 5) and three states -> (batch, 3) and three states."""
        g = self.gru(x, g)
        h, c = self.lstm(g, (h, c))
        return self.head(h), g, h, c


class LeakyStep(nn.Module):
    """One step written by hand, its state in front of its answer."""

    grulet_example = (torch.zeros(1, 4), torch.zeros(1, 4))

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(8, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        """(1, 4), (1, 4) -> a new state (1, 4), an answer (1, 2)."""
        state = 0.9 * state + 0.1 * torch.tanh(self.mix(torch.cat([x, state], dim=-1)))
        return {"kept": state, "answer": self.head(state)}


class LoopByHand(nn.Module):
    """A loop over the frames in Python."""

    grulet_example = torch.zeros(1, 6, 5)

    def __init__(self, cell: bool) -> None:
        super().__init__()
        self.cell: nn.Module = nn.GRUCell(5, 6) if cell else nn.Linear(11, 6)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, 5) -> (batch, time, 6)."""
        h = x.new_zeros(x.shape[0], 6)
        states = []
        for t in range(x.shape[1]):
            h = (
                self.cell(x[:, t], h)
                if isinstance(self.cell, nn.GRUCell)
                else torch.tanh(self.cell(torch.cat([x[:, t], h], 1)))
            )
            states.append(h)
        return torch.stack(states, dim=1)


class LastStep(nn.Module):
    """A verdict on all that was heard so far."""

    grulet_example = torch.zeros(1, 7, 5)

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, 5) -> (batch, 2)."""
        _, h = self.gru(x)
        verdict: Tensor = self.head(h[-1])
        return verdict
