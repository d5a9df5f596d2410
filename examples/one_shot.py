"""Make a PyTorch classifier sparse, and see what that does to its accuracy.

The data are scikit-learn's handwritten digits; training the dense model takes a few seconds.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gossamer as gs

torch.manual_seed(0)
digits = load_digits()
x, x_test, y, y_test = train_test_split(
    torch.tensor(digits.data / 16, dtype=torch.float32), digits.target, random_state=0
)
target = torch.tensor(y)

model = torch.nn.Sequential(
    torch.nn.Linear(64, 256),
    torch.nn.ReLU(),
    torch.nn.Linear(256, 256),
    torch.nn.ReLU(),
    torch.nn.Linear(256, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), target).backward()
    optimizer.step()

# Half of the test samples guide the search; the other half tells what it really cost.
search, final = slice(0, None, 2), slice(1, None, 2)


def right(model: torch.nn.Module, rows: slice) -> torch.Tensor:
    """Return 1 for every sample told right, else 0: one score a sample gives an interval."""
    with torch.inference_mode():
        return (model(x_test[rows]).argmax(dim=1) == torch.tensor(y_test[rows])).float()


result = gs.sparsify(
    model,
    x[:256],
    evaluate=lambda model: right(model, search),
    max_drop=0.01,
    final_evaluate=lambda model: right(model, final),
    layers=".*",
)
print(f"sparsity {result.sparsity:.2f} over the linear layers")
print(f"accuracy {result.final_dense_score:.3f} dense, {result.final_score:.3f} sparse")
print(f"drop {result.final_drop:.3f}, 95 % interval {result.final_drop_interval}")
