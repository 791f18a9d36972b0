"""Writes to a shared filesystem for as long as it is let.

Each turn takes the lock that all hosts share (flock), adds one to a common counter, adds a line to a file of this host's own, and has both
on the disk before it says so on a disk of the host's own: `turns COUNT`.
"""
import fcntl
import os
import sys

directory, host, told = sys.argv[1:4]


def synced(path, text, flags):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    os.write(file, text.encode())
    os.fsync(file)
    os.close(file)


turns = 0
with open(f"{directory}/lock", "a") as lock:
    while True:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(f"{directory}/count") as file:
                count = int(file.read())
        except FileNotFoundError:
            count = 0
        count += 1
        synced(f"{directory}/count", f"{count:010}\n", 0)
        synced(f"{directory}/{host}", f"{count}\n", os.O_APPEND)
        fcntl.flock(lock, fcntl.LOCK_UN)
        turns += 1
        with open(told + ".new", "w") as file:
            file.write(f"{turns} {count}\n")
        os.rename(told + ".new", told)
