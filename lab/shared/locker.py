"""Locks pieces of one file, in turn with processes of this host and of others, and looks whether it really is alone.

The file has slots of a count and an owner. Whoever has an exclusive lock of some of them finds no owner there, makes itself the owner, finds that
it still is, adds one to the counts and goes; whoever has a shared lock sees nothing change. After each turn it says on a disk of the host's own
how often it has added one: `turns ADDED`. A breach is told in FILE.breach, and ends it. An owner that was lost with its host is told in FILE.left.

Odd numbers lock as processes (POSIX), even ones as open files (OFD). With `sum`, it says what all slots have together.
"""
import errno
import fcntl
import os
import random
import struct
import sys

SLOTS, SIZE, MOST = 16, 48, 4
OFD_SETLK, OFD_SETLKW = 37, 38


def slot(file, at):
    text = os.pread(file, SIZE, at * SIZE).decode()
    count, owner = text.split()
    return int(count), owner


def put(file, at, count, owner):
    os.pwrite(file, f"{count:010} {owner:<36}\n".encode(), at * SIZE)


def locked(file, ofd, kind, first, slots, wait=True):
    """False: somebody else has it, and we did not wait."""
    posix = fcntl.F_SETLKW if wait else fcntl.F_SETLK
    of_file = OFD_SETLKW if wait else OFD_SETLK
    words = struct.pack("hhqqi4x", kind, os.SEEK_SET, first * SIZE, slots * SIZE, 0)
    try:
        fcntl.fcntl(file, of_file if ofd else posix, words)
    except OSError as error:
        if not wait and error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def whole(path, ofd):
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    locked(file, ofd, fcntl.F_WRLCK, 0, SLOTS)
    if os.fstat(file).st_size < SLOTS * SIZE:
        for at in range(SLOTS):
            put(file, at, 0, "free")
        os.fsync(file)
    locked(file, ofd, fcntl.F_UNLCK, 0, SLOTS)
    return file


def main():
    directory, host, number, told = sys.argv[1:5]
    path, ofd = f"{directory}/slots", int(number) % 2 == 0
    file = whole(path, ofd)
    with open("/proc/sys/kernel/random/boot_id") as boot:
        boot = boot.read()[:8]
    me = f"{host}/{boot}/{number}/{os.getpid()}"
    turns = added = 0

    def say(what, text):
        with open(f"{told}.{what}", "a") as out:
            out.write(text + "\n")

    def check(fine, text):
        if not fine:
            say("breach", f"{me}: {text}")
            sys.exit(1)

    def free(at):
        count, owner = slot(file, at)
        if owner != "free":
            say("left", f"{at} {owner}")
        return count, owner

    while True:
        slots = random.randint(1, MOST)
        first = random.randint(0, SLOTS - slots)
        mine = range(first, first + slots)
        exclusive = random.random() < 0.6
        kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
        if not locked(file, ofd, kind, first, slots, random.random() < 0.8):
            continue
        before = {at: free(at) for at in mine}
        if exclusive:
            for at in mine:
                put(file, at, before[at][0], me)
            for at in mine:
                check(slot(file, at) == (before[at][0], me), f"slot {at} has {slot(file, at)}")
            for at in mine:
                put(file, at, before[at][0] + 1, "free")
            os.fsync(file)
            added += slots
            if random.random() < 0.3:
                # As a reader of what it has written, it is not alone any more, and still nobody writes.
                locked(file, ofd, fcntl.F_RDLCK, first, slots)
                for at in mine:
                    check(slot(file, at) == (before[at][0] + 1, "free"), f"slot {at} was written under a shared lock")
        else:
            for at in mine:
                check(slot(file, at) == before[at], f"slot {at} was {before[at]} and is {slot(file, at)}")
        if slots > 1 and random.random() < 0.5:
            locked(file, ofd, fcntl.F_UNLCK, first, 1)
            first, slots = first + 1, slots - 1
        locked(file, ofd, fcntl.F_UNLCK, first, slots)
        turns += 1
        with open(told + ".new", "w") as out:
            out.write(f"{turns} {added}\n")
        os.rename(told + ".new", told)


if sys.argv[1] == "sum":
    with open(f"{sys.argv[2]}/slots", "rb") as found:
        print(sum(slot(found.fileno(), at)[0] for at in range(SLOTS)))
else:
    main()
