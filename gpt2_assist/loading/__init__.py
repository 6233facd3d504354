"""From a model's folder to an engine that is ready; for workers, commands and trainings."""
