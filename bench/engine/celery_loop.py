"""
What Celery does by itself, for `bench/engine.ts`: REDIS_URL COUNT -> one line of JSON, as `raw-bullmq.ts` has it. Two
worker processes, results in the same Redis.
"""

import json
import os
import subprocess
import sys
import time

import celery
from celery import Celery, group

URL = os.environ.get("BENCH_REDIS_URL") or sys.argv[1]
ONE_AT_A_TIME = 300

app = Celery("celery_loop", broker=URL, backend=URL)
app.conf.update(task_default_queue="bench-celery", worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(number: int) -> int:
    return number


@app.task(name="started_at")
def started_at(sent: float) -> float:
    # The same machine, so the same clock.
    return time.time() - sent


def main() -> None:
    count = int(sys.argv[2])
    folder = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-m", "celery", "-A", "celery_loop", "worker", "-c", "2", "-l", "ERROR", "-P", "prefork"]
    more = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = subprocess.Popen(
        [*command, *more],
        cwd=folder,
        env={**os.environ, "BENCH_REDIS_URL": URL},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        noop.delay(0).get(timeout=60)
        start = time.perf_counter()
        group(noop.s(n) for n in range(count)).apply_async().get(timeout=600)
        throughput = count / (time.perf_counter() - start)
        latencies = [started_at.delay(time.time()).get(timeout=60) * 1000 for _ in range(ONE_AT_A_TIME)]
    finally:
        worker.terminate()
        worker.wait()
    print(json.dumps({"throughput": throughput, "latencies": latencies, "version": celery.__version__}))


if __name__ == "__main__":
    main()
