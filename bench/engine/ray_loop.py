"""What Ray does by itself, for `bench/engine.ts`: COUNT -> one line of JSON, as `raw-bullmq.ts` has it."""

import json
import logging
import os
import sys
import time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"
import ray  # noqa: E402

COUNT = int(sys.argv[1])
ONE_AT_A_TIME = 500

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


@ray.remote
def noop(number: int) -> int:
    return number


@ray.remote
def started_at(sent: float) -> float:
    # The same machine, so the same clock.
    return time.time() - sent


@ray.remote
class Actor:
    def noop(self, number: int) -> int:
        return number


ray.get([noop.remote(n) for n in range(200)])
start = time.perf_counter()
ray.get([noop.remote(n) for n in range(COUNT)])
tasks = COUNT / (time.perf_counter() - start)

actor = Actor.remote()
ray.get(actor.noop.remote(0))
start = time.perf_counter()
ray.get([actor.noop.remote(n) for n in range(COUNT)])
actor_calls = COUNT / (time.perf_counter() - start)

latencies = [ray.get(started_at.remote(time.time())) * 1000 for _ in range(ONE_AT_A_TIME)]
print(json.dumps({"throughput": tasks, "actorCalls": actor_calls, "latencies": latencies, "version": ray.__version__}))
ray.shutdown()
