"""Giving up rights for good: what the Linux kernel keeps a process from, from here to its end.

Three layers, by system calls. *Landlock* (Linux 5.13) leaves some folders to be read and one to be written. A *seccomp*
filter refuses sockets, processes, signals, whatever reaches past files' contents (owners, modes, other processes'
memory, mounts), and whatever would hide from outside which files are held or how large they are. Where the kernel lets
anybody make *namespaces*, the process is alone in ones without a network.
"""

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Sequence

_LIBC = ctypes.CDLL(None, use_errno=True)

# prctl(2)
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES, _SECCOMP = 1, 38, 22
# Landlock's calls have the same number everywhere.
_MAKE_RULES, _ADD_RULE, _RESTRICT = 444, 445, 446
# Of a folder that may be read: files and lists of files. Of the one that may be written: to make and remove files too,
# but no folders, of which a deep nest could not be removed.
_READ = 1 << 2 | 1 << 3
_WRITE = _READ | 1 << 1 | 1 << 5 | 1 << 8
_TRUNCATE = 1 << 14  # from version 3
_NAMESPACES = 0x10000000 | 0x40000000 | 0x08000000 | 0x04000000  # of users, network, IPC and host name

# By processor: what the kernel calls it (AUDIT_ARCH), and the numbers of clone, clone3, ioctl and fcntl. Threads too
# come by clone, whose flag tells them from processes; the C library falls back to it where clone3 is unknown.
_PROCESSORS = {"x86_64": (0xC000003E, 56, 435, 16, 72), "aarch64": (0xC00000B7, 220, 435, 29, 25)}
# What is refused, with its number on each of these; - where there is none.
_REFUSED = """
socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
fork 57 -, vfork 58 -, execve 59 221, execveat 322 281,
kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240,
pidfd_send_signal 424 424, pidfd_open 434 434, pidfd_getfd 438 438,
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271,
io_uring_setup 425 425, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282,
mount 165 40, umount2 166 39, mount_setattr 442 442, pivot_root 155 41, chroot 161 51, unshare 272 97, setns 308 268,
open_by_handle_at 304 265, name_to_handle_at 303 264,
chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, truncate 76 45,
chown 92 -, lchown 94 -, fchown 93 55, fchownat 260 54,
utime 132 -, utimes 235 -, utimensat 280 88, futimesat 261 -,
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16,
setrlimit 160 164, prlimit64 302 261, setpriority 141 140, ioprio_set 251 30,
sched_setscheduler 144 119, sched_setparam 142 118, sched_setattr 314 274, sched_setaffinity 203 122,
personality 135 92, keyctl 250 219, add_key 248 217, request_key 249 218,
shmget 29 194, msgget 68 186, semget 64 190, mq_open 240 180, memfd_create 319 279,
prctl 157 167, sendmsg 46 211, sendmmsg 307 269, close_range 436 436, fallocate 285 47
"""
_SIZED = 0xFFFF0000  # of ioctl's requests: the newer ones, some of which reserve room on the disk
_OWNERS = (8, 10, 15)  # of fcntl's commands: whom the kernel sends a signal when something comes, and which
_THREAD, _SAME_FILES = 0x00010000, 0x00000400  # of clone's flags: both are asked for
_X32 = 0x40000000  # numbers of x86-64's second table, from here on
_EPERM, _ENOSYS = 1, 38
# Instructions of the filter, and what it may return.
_LOAD, _EQUAL, _ANY, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24  # places in what it is shown
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def confine(folder: str, readable: Sequence[str], threads: int) -> list[str]:
    """Leave this process ``folder`` to write, and ``readable`` and it to read; no network, no other process, and where
    it is alone in its namespaces at most so many ``threads``. Returns the layers. Raises `OSError` where the kernel
    grants fewer than it takes; the process then has what it had."""
    _call("prctl", _DIE_WITH_PARENT, 9, 0, 0, 0)
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    machine = platform.machine()
    if machine not in _PROCESSORS:
        raise OSError(_ENOSYS, f"no list of system calls for {machine}")
    alone = _LIBC.unshare(_NAMESPACES) == 0
    if alone:  # elsewhere all that the user runs would count
        resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
    version = _restrict_files(folder, readable)
    _filter_calls(*_PROCESSORS[machine], refused_calls(machine))
    return [*(["namespaces"] if alone else []), f"Landlock {version}", "seccomp"]


def refused_calls(machine: str) -> list[int]:
    """Numbers of the system calls that are refused on a processor."""
    place = 1 + list(_PROCESSORS).index(machine)
    rows = [row.split() for row in _REFUSED.split(",")]
    return [int(row[place]) for row in rows if row[place] != "-"]


def _restrict_files(folder: str, readable: Sequence[str]) -> int:
    version = _LIBC.syscall(_MAKE_RULES, None, 0, 1)
    if version < 1:
        raise OSError(ctypes.get_errno() or _ENOSYS, "the kernel has no Landlock")
    # What is handled is refused unless a rule allows it: all that a version knows of files, TCP, and other processes.
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack("QQQ", handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _call("syscall", _MAKE_RULES, attributes, size, 0)
    for path in readable:
        _allow(rules, path, _READ)
    _allow(rules, folder, _WRITE | (_TRUNCATE if version >= 3 else 0))
    _call("syscall", _RESTRICT, rules, 0)
    os.close(rules)
    return int(version)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - of the standard library as little as can be
            rights &= 1 << 1 | 1 << 2
        _call("syscall", _ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _filter_calls(architecture: int, clone: int, clone3: int, ioctl: int, fcntl: int, refused: Sequence[int]) -> None:
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE | _EPERM)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        (_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _REFUSE | _ENOSYS),
    ]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), refuse]
    program += [
        (_EQUAL, 0, 4, ioctl),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_ANY, 0, 1, _SIZED),
        refuse,
        allow,
        (_EQUAL, 0, 2 + 2 * len(_OWNERS), fcntl),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        *(line for command in _OWNERS for line in ((_EQUAL, 0, 1, command), refuse)),
        allow,
        (_EQUAL, 0, 4, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY, 0, 1, _THREAD),
        (_ANY, 1, 0, _SAME_FILES),
        refuse,
        allow,
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    told = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _call("prctl", _SECCOMP, 2, told, 0, 0)


def _call(name: str, *arguments: object) -> int:
    """A function of the C library. Whole numbers go as C's long, which prctl takes; `OSError` for a failure."""
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = getattr(_LIBC, name)(*given)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return int(result)
