"""The picture of a run's losses."""
from gpt2_assist.runs import Run


def draw_curve(run: Run) -> None:
    """Writes curve.png, if there is anything to draw. Raises OSError where the disk refuses."""
    curve = run.curve()
    if not curve:
        return
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, label, style in (("loss", "training", "-"), ("validation", "validation", "o-"),
                               ("general", "general text", ".--")):
        points = [(entry["step"], entry[name]) for entry in curve if name in entry]
        if points:
            axes.plot(*zip(*points), style, label=label, linewidth=1, markersize=3,
                      alpha=0.5 if name == "loss" else 1.0)
    best = run.best()
    if best:
        axes.axvline(best["step"], color="grey", linewidth=0.8, linestyle=":", label=f"best: step {best['step']}")
    axes.set(xlabel="step", ylabel="loss, nats a token", title=run.name)
    axes.legend()
    figure.savefig(run.folder / "curve.png", dpi=120)


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 20) -> str:
    """The last values as little bars."""
    values = values[-width:]
    low, high = min(values, default=0), max(values, default=0)
    return "".join(_BARS[round((value - low) / (high - low or 1) * (len(_BARS) - 1))] for value in values)
