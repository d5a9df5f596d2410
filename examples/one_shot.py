"""Make a PyTorch classifier as small as its accuracy allows, and see what that does to it.

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

# Most of the test samples guide the search; the others tell what it really cost.
search, final = slice(0, 300), slice(300, None)


def right(model: torch.nn.Module, rows: slice) -> torch.Tensor:
    """Return 1 for every sample told right, else 0: one score a sample gives an interval."""
    with torch.inference_mode():
        return (model(x_test[rows]).argmax(dim=1) == torch.tensor(y_test[rows])).float()


# The guard: at most three points of accuracy, at the upper end of the drop's 95 % interval.
# With objective="energy", the default, it is the time on this machine that is made least.
result = gs.sparsify(
    model,
    x[:256],
    evaluate=lambda model: right(model, search),
    max_drop=0.03,
    final_evaluate=lambda model: right(model, final),
    objective="bytes",
    layers=".*",
    levels=(0.5, 0.7, 0.8, 0.9, 0.95),
    search_seconds=2,
)
for trial in result.trials:
    print(
        f"{trial.cost:.0%} of the bytes: drop {trial.drop:+.3f}, at most {trial.interval[1]:+.3f}, "
        f"{'accepted' if trial.accepted else 'refused'}"
    )
for name, given in result.plan.items():
    print(f"layer {name}: {given.pattern or 'dense'}, sparsity {given.sparsity:.2f}")
print(f"sparsity {result.sparsity:.2f} over the linear layers")
print(f"accuracy {result.final_dense_score:.3f} dense, {result.final_score:.3f} sparse")
print(f"drop {result.final_drop:.3f}, 95 % interval {result.final_drop_interval}")
for note in result.notes:
    print(note)
