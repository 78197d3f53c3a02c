#!/usr/bin/env python3
"""How often each activation is read and written in a step: bench/bytes.py FILE.znet [PREFIX [ZNETC OPTIONS...]]

Counts activations, that is buffers of the work space with four dimensions that are no weights, in the plan of @train_step
(znetc --emit=plan), halos included. A phase that names a buffer reads or writes it once, however often it finds an element
in a cache. PREFIX takes the phases of one block (stage1.1.), which are listed. $ZNETC names the compiler."""
import collections
import os
import re
import subprocess
import sys

BUFFER = re.compile(r"  buffer (\d+) arena\+\d+ size (\d+) : f32\[([\d, ]+)\](?: halo \[[\d, ]+\] pitch \d+)? "
                    r"live \d+-\d+(?: in \d+)? (.*)")
PHASE = re.compile(r"  phase (\d+) k\d+_(\S+) outer .*?:((?: >?\d+)*) # (.*?)(?: \((\S+)\))?$")


def main():
    file, prefix, options = sys.argv[1], (sys.argv[2:] or [""])[0], sys.argv[3:]
    plan = subprocess.run([os.environ.get("ZNETC", "znetc"), file, "--emit=plan"] + options, check=True,
                          capture_output=True, text=True).stdout
    buffers, reads, writes = {}, collections.Counter(), collections.Counter()
    total = collections.defaultdict(lambda: [0, 0])
    step = plan[plan.index("program @train_step"):plan.index("program @eval_step")]
    for line in step.splitlines():
        b, p = BUFFER.match(line), PHASE.match(line)
        if b and b[3].count(",") == 3 and b[4] != "transposed weights":
            buffers[b[1]] = (int(b[2]), b[4])
        if not p or not (p[5] or "").startswith(prefix):
            continue
        inputs, outputs = [], []
        for name in p[3].split():
            number = name.lstrip(">")
            if number not in buffers:
                continue
            (outputs if name[0] == ">" else inputs).append(number)
            (writes if name[0] == ">" else reads)[number] += 1
            total[p[2]][name[0] == ">"] += buffers[number][0]
        if prefix and inputs + outputs:
            print("phase %s %s (%s): reads %s; writes %s" % (p[1], p[2], p[4], ", ".join(inputs) or "-",
                                                            ", ".join(outputs) or "-"))
    if prefix:
        print()
        for number in sorted(set(reads) | set(writes), key=int):
            print("buffer %s, %.1f MB, %s: %d writes, %d reads" % (number, buffers[number][0] * 1e-6, buffers[number][1],
                                                                  writes[number], reads[number]))
        print()
    for family, (read, written) in sorted(total.items(), key=lambda x: -sum(x[1])):
        print("%-16s %9.1f MB read %9.1f MB written" % (family, read * 1e-6, written * 1e-6))
    print("%-16s %9.1f MB read %9.1f MB written" % ("all", sum(v[0] for v in total.values()) * 1e-6,
                                                    sum(v[1] for v in total.values()) * 1e-6))


main()
