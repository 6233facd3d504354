"""The picture of a run's losses."""
import math

from gpt2_assist.runs import Run

EXTRA = "gpt2-assist[plots]"
PICTURE = "curve.png"


def draw_curve(run: Run) -> None:
    """Writes the picture, if there is anything to draw and the extra is installed. Raises OSError where the disk
    refuses."""
    curve = run.curve()
    if not curve:
        return
    try:
        import matplotlib
    except ImportError:
        return
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
    figure.savefig(run.folder / PICTURE, dpi=120)


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 20) -> str:
    """The last values as little bars; a cross stands for what is no finite number."""
    values = values[-width:]
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0), max(finite, default=0)
    return "".join(_BARS[round((value - low) / (high - low or 1) * (len(_BARS) - 1))] if math.isfinite(value) else "×"
                   for value in values)
