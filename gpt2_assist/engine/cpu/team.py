"""The threads that compute a step together: they spin while steps follow each other, and sleep when none comes."""
import threading

import numpy as np

from gpt2_assist.engine.cpu.step import close_step, help_out, open_step, walk


class Team:
    """`threads` threads, the caller's among them, over one plan (see step.py)."""

    def __init__(self, plan: np.ndarray, layers: np.ndarray, epsilon: float, threads: int, memory: list) -> None:
        """`memory` is what the plan's addresses lie in; it must outlive the threads."""
        self._memory = memory
        self._arguments = (plan, layers, np.float32(epsilon))
        self._number = 0
        self._stopped = False
        self._asleep = [False] * threads
        self._bells = [threading.Semaphore(0) for _ in range(threads)]
        for thread in range(1, threads):
            threading.Thread(target=self._help, args=(thread,), daemon=True).start()

    def run(self) -> None:
        """Computes the step that the plan describes."""
        self._number += 1
        open_step(self._arguments[0], self._number)
        for thread, asleep in enumerate(self._asleep):
            if asleep:
                self._asleep[thread] = False
                self._bells[thread].release()
        walk(*self._arguments, 0)
        close_step(self._arguments[0])

    def stop(self) -> None:
        """Ends the other threads."""
        self._stopped = True
        self._number += 1
        for bell in self._bells:
            bell.release()

    def _help(self, thread: int) -> None:
        last = 0
        while not self._stopped:
            seen = self._number
            last = help_out(*self._arguments, thread, last)
            self._asleep[thread] = True
            if self._number == seen:  # else a step was opened before the caller could see that this thread sleeps
                self._bells[thread].acquire()
            self._asleep[thread] = False
