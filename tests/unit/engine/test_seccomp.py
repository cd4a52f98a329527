"""The filter of system calls: what it lets through, and what it never does."""

import json
from typing import Any

import pytest

from matrix.engine.seccomp import build_seccomp_profile

_DANGEROUS = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module
    fsconfig fsmount fsopen fspick init_module io_setup io_submit ioperm iopl ipc kcmp kexec_file_load
    kexec_load keyctl
    lookup_dcookie mbind migrate_pages modify_ldt mount mount_setattr move_mount move_pages msgget
    name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open personality pivot_root
    process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot remap_file_pages request_key semget
    set_mempolicy setdomainname sethostname setns settimeofday shmget socketcall swapoff swapon syslog umount
    umount2 unshare uselib userfaultfd vhangup vm86
"""
HIDDEN = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_secret", "pidfd_getfd")
ENOSYS = 38


def rules_for(name: str, *, network: bool = False) -> list[dict[str, Any]]:
    rules = json.loads(build_seccomp_profile(network=network))["syscalls"]
    return [rule for rule in rules if name in rule["names"]]


def families(name: str, *, network: bool) -> set[int]:
    return {rule["args"][0]["value"] for rule in rules_for(name, network=network)}


def test_what_is_not_named_is_refused() -> None:
    profile = json.loads(build_seccomp_profile(network=True))
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}


@pytest.mark.parametrize("network", [False, True])
def test_nothing_dangerous_is_named(network: bool) -> None:
    assert [name for name in _DANGEROUS.split() if rules_for(name, network=network)] == []


@pytest.mark.parametrize("name", HIDDEN)
def test_what_has_an_older_call_is_not_there_rather_than_refused(name: str) -> None:
    [rule] = rules_for(name, network=True)
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", ENOSYS)


def test_sockets_are_local_unless_there_is_a_network() -> None:
    assert families("socket", network=False) == {1}
    assert families("socket", network=True) == {1, 2, 10, 16}
    assert families("socketpair", network=True) == {1}


def test_a_new_process_stays_in_its_namespaces() -> None:
    rules = rules_for("clone")
    assert [(rule["args"][0]["value"], rule["args"][0]["op"]) for rule in rules] == [
        (0x7E020000, "SCMP_CMP_MASKED_EQ")
    ] * 2
    assert rules[0]["excludes"] == rules[1]["includes"] == {"arches": ["s390", "s390x"]}


def test_a_name_is_in_one_rule_and_each_rule_says_why() -> None:
    rules = json.loads(build_seccomp_profile(network=False))["syscalls"]
    names = [name for rule in rules for name in rule["names"]]
    assert {name for name in names if names.count(name) > 1} == {"clone"}
    assert all(rule["comment"] for rule in rules)
