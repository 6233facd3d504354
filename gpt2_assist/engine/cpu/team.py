"""The threads that compute a step together: they spin while steps follow each other, and sleep when none comes."""
import ctypes
import os
import threading
import time

import numpy as np

from gpt2_assist.engine.cpu.compiling import kernels
from gpt2_assist.engine.cpu.pace import Pace
from gpt2_assist.engine.cpu.plan import CLOSE_STEP, HELP_OUT, OPEN_STEP, WALK


class Team:
    """`threads` threads, the caller's among them, over one plan and program (see plan.py)."""

    def __init__(self, plan: np.ndarray, program: np.ndarray, epsilon: float, threads: int, memory: list,
                 cores: list[int]) -> None:
        """`memory` is what the plan's addresses lie in; it must outlive the threads. `cores`: see CpuEngine."""
        self._memory = [plan, program, memory]
        self._arguments = (plan.ctypes.data, program.ctypes.data, epsilon)
        self._enter = kernels()
        self._number = 0
        self._pace = Pace()
        self._stopped = False
        self._asleep = [False] * threads
        self._bells = [threading.Semaphore(0) for _ in range(threads)]
        self._cores = cores
        self._settle(0)
        for thread in range(1, threads):
            threading.Thread(target=self._help, args=(thread,), daemon=True).start()

    def run(self, rows: int) -> None:
        """Computes the step of so many rows that the plan describes."""
        timed = rows == 1 and len(self._asleep) > 1
        alone = len(self._asleep) == 1 or (self._pace.next_alone() if timed else self._pace.alone)
        began = time.perf_counter()
        if alone:
            self._call(OPEN_STEP, 0, 0)
        else:
            self._number += 1
            self._call(OPEN_STEP, 0, self._number)
            for thread, asleep in enumerate(self._asleep):
                if asleep:
                    self._asleep[thread] = False
                    self._bells[thread].release()
        self._call(WALK, 0, 0)
        self._call(CLOSE_STEP, 0, 0)
        if timed:
            self._pace.measured(alone, time.perf_counter() - began)

    def stop(self) -> None:
        """Ends the other threads."""
        self._stopped = True
        self._number += 1
        for bell in self._bells:
            bell.release()

    def _settle(self, thread: int) -> None:
        """Gives a thread the core that is meant for it."""
        if self._cores:
            os.sched_setaffinity(0, {self._cores[thread]})

    def _help(self, thread: int) -> None:
        self._settle(thread)
        last = 0
        while not self._stopped:
            seen = self._number
            last = self._call(HELP_OUT, thread, last)
            self._asleep[thread] = True
            if self._number == seen:  # else a step was opened before the caller could see that this thread sleeps
                self._bells[thread].acquire()
            self._asleep[thread] = False

    def _call(self, what: int, thread: int, number: int) -> int:
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        self._enter(ctypes.addressof(result), ctypes.addressof(exception), what, *self._arguments, thread, number)
        return result.value
