"""PyTorch's side of taper-bench: takes samples of programs, one JSON request a line.

Says its version first. {"do": "setup", slot, setup, step} compiles a program, {"do": "run", slot,
name, calls, own} times it (own: this thread's clock, else the wall's), {"do": "next"} forgets all.
"""
import gc
import json
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # what others print is no answer

import torch

import torch_rows

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
TIMED = """
def timed(calls, clock):
    start = clock()
    for _ in range(calls):
        {}
    return clock() - start
"""
programs = {}


def setup(slot, setup, step):
    names = {"torch": torch, **vars(torch_rows)}
    exec(setup, names)
    exec(TIMED.format(step), names)
    programs[slot] = names["timed"]
    return "ok"


def run(slot, name, calls, own):
    clock = time.thread_time if own else time.perf_counter
    return repr(programs[slot](calls, clock) / calls)


def forget():
    programs.clear()
    gc.collect()
    return "ok"


actions = {"setup": setup, "run": run, "next": forget}
print(torch.__version__, file=answers)
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = actions[request.pop("do")](**request)
    except Exception as e:  # the bench shows it and goes on
        answer = f"{type(e).__name__}: {e}".replace("\n", " ")
    print(answer, file=answers)
