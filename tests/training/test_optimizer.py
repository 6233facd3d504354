import torch

from gpt2_assist.training.pretraining.optimizer import Optimizer, orthogonalise


def test_orthogonalised_matrices_have_singular_values_near_one():
    dice = torch.Generator().manual_seed(0)
    for shape in ((2, 16, 48), (3, 64, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape, generator=dice)))
        assert values.min() > 0.5 and values.max() < 1.4


def train(steps, resume_at=None):
    parameters = {name: torch.nn.Parameter(torch.full(shape, 0.5))
                  for name, shape in (("matrix", (4, 6)), ("bias", (6,)))}
    optimizer = Optimizer(parameters, {"matrix"}, 0.1, 0.1)
    for step in range(steps):
        if step == resume_at:
            saved = {name: value.clone() for name, value in optimizer.state().items()}
            optimizer = Optimizer(parameters, {"matrix"}, 0.1, 0.1)
            optimizer.load(saved)
        dice = torch.Generator().manual_seed(step)
        x, y = torch.randn(8, 4, generator=dice), torch.randn(8, 6, generator=dice)
        ((x @ parameters["matrix"] + parameters["bias"] - y) ** 2).mean().backward()
        optimizer.step(1.0)
    return parameters


def test_a_loaded_state_goes_on_as_if_nothing_had_happened():
    for whole, resumed in zip(train(9).values(), train(9, resume_at=4).values()):
        assert torch.equal(whole, resumed)
