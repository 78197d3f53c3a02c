"""What bench/compare.py and a rival say to each other.

The rival trains a few steps and prints one line of JSON: version, parameters, first_step (seconds from its start to the
end of the first step). Then, for each line with a number of seconds that it reads, it trains for so long and prints
images per second (median and best of the steps) and its peak memory. It ends with its input."""
import json
import resource
import statistics
import sys
import time


def say(**what):
    print(json.dumps(what), flush=True)


def serve(step, batch, start, **about):
    step()
    first = time.time() - start
    step()
    step()
    say(first_step=first, **about)
    for line in sys.stdin:
        seconds, times = float(line), []
        step()  # caches and clocks are the other program's
        while sum(times) < seconds or len(times) < 3:
            begin = time.perf_counter()
            step()
            times.append(time.perf_counter() - begin)
        say(median=batch / statistics.median(times), best=batch / min(times), steps=len(times),
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
