"""Attacks on the secrets of another step. They look wherever a job can look for what the flag begins with."""

import os

from attack import Failed, attack, main


def look_in(paths, given):
    # Not in plain text, or it would be found among the parameters.
    wanted = given["prefix_backwards"][::-1].encode()
    seen = 0
    for path in paths:
        try:
            with open(path, "rb") as file:
                seen += 1
                if wanted in file.read(1 << 20):
                    return path
        except OSError:
            continue
    raise Failed(f"nothing in {seen} files")


def processes(*names):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        yield from (f"/proc/{pid}/{name}" for name in names)


@attack("environments-of-processes")
def environments(given):
    return look_in(processes("environ"), given)


@attack("arguments-of-processes")
def arguments(given):
    return look_in(processes("cmdline"), given)


@attack("files-in-reach")
def files(given):
    roots = [os.environ["MOORLINE_JOB_DIR"], os.path.dirname(os.environ["MOORLINE_INPUT"]),
             *given["directories"]]

    def all_files():
        for root in roots:
            for directory, _, names in os.walk(root):
                yield from (os.path.join(directory, name) for name in names)

    return look_in(all_files(), given)


if __name__ == "__main__":
    main()
