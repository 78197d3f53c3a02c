#!/usr/bin/env python3
"""Damages files one token at a time and counts the errors: one mistake should give one.

usage: mutate.py ZNETC FILE... [--show N] [--pick delete|brace|double|swap]
Deletes, doubles or replaces each token in turn (brace: only brackets). Prints how often there were 0 errors (what is left
is a file), 1, 2 and more, and the first N changes that gave more than one."""
import collections, re, subprocess, sys, os, tempfile
from concurrent.futures import ThreadPoolExecutor

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"|[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[A-Za-z_]\w*|==|!=|<=|>=|&&|\|\||\S', re.S)


def changes(text, pick):
    for m in TOKEN.finditer(text):
        word = m.group()
        if word.startswith(('//', '/*')):
            continue
        if pick == 'brace' and word not in '{}()[]':
            continue
        for name, new in {'delete': [('delete', '')], 'brace': [('delete', '')], 'double': [('double', word + ' ' + word)],
                          'swap': [('swap', ')'), ('swap', 'zzz'), ('swap', '=')]}[pick]:
            if new != word:
                line = text.count('\n', 0, m.start()) + 1
                yield f'{name} `{word}` -> `{new}` in line {line}', text[:m.start()] + (new or ' ') + text[m.end():]


def main():
    args, show, picks = sys.argv[1:], 0, ['delete', 'double', 'swap']
    if '--show' in args:
        i = args.index('--show')
        show = int(args[i + 1])
        del args[i:i + 2]
    if '--pick' in args:
        i = args.index('--pick')
        picks = args[i + 1].split(',')
        del args[i:i + 2]
    znetc, files = args[0], args[1:]

    def run(job):
        path, what, text = job
        r = subprocess.run([znetc, 'check', '--diagnostics=json', '-'], input=text.encode(), capture_output=True, timeout=60)
        codes = re.findall(r'"code":"(\w+)","severity":"error"', r.stderr.decode())
        return path, what, r.returncode, codes, text

    for pick in picks:
        jobs = [(f, what, t) for f in files for what, t in changes(open(f).read(), pick)]
        count = collections.Counter()
        with ThreadPoolExecutor(2) as pool:
            for path, what, code, codes, text in pool.map(run, jobs):
                count[min(len(codes), 4)] += 1
                if code not in (0, 1):
                    print('EXIT', code, path, what)
                if len(codes) > 1 and show > 0:
                    show -= 1
                    print(f'{path}: {what}: {" ".join(codes)}')
        bad = sum(count.values()) - count[0]
        print(f'{pick}: {len(jobs)} changes, no error {count[0]}, one {count[1]} ({100 * count[1] / max(bad, 1):.1f} % of the rest), '
              f'two {count[2]}, three {count[3]}, more {count[4]}')


main()
