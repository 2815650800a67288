"""leftovers.py - a grader that leaves what it can of one sample, and looks for it with the next."""
import ctypes, os, re, sys, tempfile
G = []
def leaves(text):
    G.append(text)
    print(text)
    print(text, file=sys.stderr)
    os.environ['LEFT'] = text
    try:
        os.makedirs('/tmp/a/b/c')
        open('/tmp/a/b/c/f', 'w').write(text)
        os.symlink(text, '/tmp/a/link')
        open('/tmp/' + text, 'w').close()
        tempfile.NamedTemporaryFile(delete=False).write(text.encode())
        os.chmod('/tmp/a/b/c/f', 0)
        os.chmod('/tmp/a/b/c', 0)
        os.chmod('/tmp/a', 0)
        os.utime('/tmp', (1e9, 1e9))
        os.chmod('/tmp', 0)
    except OSError:
        assert not WRITABLE
def finds():
    found = []
    if G or 'LEFT' in os.environ:
        found.append('a variable')
    if WRITABLE and os.listdir('/tmp'):
        found.append('a file')
    if WRITABLE and os.stat('/tmp').st_mtime == 1e9:
        found.append('a time')
    try:
        lines = open('/proc/self/maps').read().split('\n')
    except OSError:
        lines = []
    # the text in two parts, so that what is searched for is not what is found
    first, second = bytes(reversed(b'-GNIYAWA-NW')), bytes(reversed(b'ORHT-EVOL'))
    for line in lines:
        m = re.match('([0-9a-f]+)-([0-9a-f]+) rw', line)
        if m and '[v' not in line:
            start, end = int(m[1], 16), int(m[2], 16)
            memory = ctypes.string_at(start, end - start)
            at = memory.find(first)
            while at >= 0:
                if memory[at + 11:at + 20] == second:
                    found.append('memory in ' + line)
                at = memory.find(first, at + 1)
            del memory
    return found
def grade(sample, item):
    text = sample['output_text']
    if text != 'look':
        leaves(text)
        raise ValueError(text, item)
    assert not finds(), finds()
    return 1
