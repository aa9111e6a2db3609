"""What the example's handlers share: work that takes time, and failures that can be repeated.

Two variables steer them, both declared in `dags/handlers.yaml`:

- `CASCADE_PACE`: what every wait is multiplied by; 0.1 when it is not set, 0 for no waits.
- `CASCADE_SEED`: with it, the steps that fail are the same in each run; without, chance decides.
- `CASCADE_FAILURES`: how likely a failure is, from 0 to 1; 0.5 when it is not set.
"""

import os
import random
import time


def work(milliseconds):
    """Takes as long as the real thing would, times `CASCADE_PACE`."""
    pace = float(os.environ.get("CASCADE_PACE") or 0.1)
    if pace > 0:
        time.sleep(milliseconds / 1000 * pace)


def may_fail(context, message):
    """Fails with `message` as often as `CASCADE_FAILURES` says."""
    rate = float(os.environ.get("CASCADE_FAILURES") or 0.5)
    seed = os.environ.get("CASCADE_SEED") or context["run"]["id"]
    if random.Random(f"{seed}/{context['step']}/{context['attempt']}").random() < rate:
        raise RuntimeError(message)
