//! Kernel version and io_uring.
//!
//! Owns: telling apart why io_uring does not work: a sysctl, a seccomp filter, an old kernel, a limit. Pure.

use io_uring::opcode;
use nix::errno::Errno;

use super::{Facts, Finding, IoUring};

/// Oldest kernel whose io_uring has what the shards need.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// What the executors need of io_uring; they end the process when one is missing.
#[rustfmt::skip]
pub(super) const REQUIRED_OPERATIONS: &[(&str, u8)] = &[
    ("NOP", opcode::Nop::CODE), ("READV", opcode::Readv::CODE), ("WRITEV", opcode::Writev::CODE),
    ("FSYNC", opcode::Fsync::CODE), ("READ_FIXED", opcode::ReadFixed::CODE), ("WRITE_FIXED", opcode::WriteFixed::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE), ("POLL_REMOVE", opcode::PollRemove::CODE), ("SENDMSG", opcode::SendMsg::CODE),
    ("RECVMSG", opcode::RecvMsg::CODE), ("TIMEOUT", opcode::Timeout::CODE), ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
    ("ACCEPT", opcode::Accept::CODE), ("LINK_TIMEOUT", opcode::LinkTimeout::CODE), ("CONNECT", opcode::Connect::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE), ("OPENAT", opcode::OpenAt::CODE), ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE), ("READ", opcode::Read::CODE), ("WRITE", opcode::Write::CODE),
    ("SEND", opcode::Send::CODE), ("RECV", opcode::Recv::CODE),
];

pub(super) fn judge_kernel(release: &str) -> Finding {
    const SUBJECT: &str = "kernel";
    match version(release) {
        None => Finding::warn(
            SUBJECT,
            format!("unknown version {release:?}"),
            "check that it is Linux 5.8 or newer",
        ),
        Some(version) if version < KERNEL_MIN => {
            Finding::stop(SUBJECT, format!("{release} is too old"), "use Linux 5.8 or newer")
        }
        Some(_) => Finding::fine(SUBJECT, release),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn judge_io_uring(facts: &Facts) -> Finding {
    const SUBJECT: &str = "io_uring";
    const ALLOW: &str =
        "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
                         profile (docker: --security-opt seccomp=<profile>)";
    let errno = match &facts.io_uring {
        IoUring::Works { missing } if missing.is_empty() => return Finding::fine(SUBJECT, "works"),
        IoUring::Works { missing } => {
            return Finding::stop(
                SUBJECT,
                format!("the kernel lacks {}", missing.join(", ")),
                "use Linux 5.8 or newer",
            );
        }
        IoUring::NoProbe => {
            return Finding::stop(
                SUBJECT,
                "the kernel does not say what it can do",
                "use Linux 5.8 or newer",
            );
        }
        IoUring::Refused(errno) => Errno::from_raw(*errno),
    };
    match (errno, facts.io_uring_disabled) {
        (Errno::EPERM, Some(2)) => Finding::stop(
            SUBJECT,
            "switched off for everybody (kernel.io_uring_disabled = 2)",
            "sysctl -w kernel.io_uring_disabled=0",
        ),
        (Errno::EPERM, Some(1)) => Finding::stop(
            SUBJECT,
            "switched off for ordinary users (kernel.io_uring_disabled = 1)",
            "sysctl -w kernel.io_uring_disabled=0, or put the user's group into kernel.io_uring_group",
        ),
        (Errno::EPERM | Errno::EACCES | Errno::ENOSYS, _) if facts.seccomp_filter => {
            Finding::stop(SUBJECT, format!("forbidden by a seccomp filter ({errno})"), ALLOW)
        }
        (Errno::EPERM | Errno::EACCES, _) => Finding::stop(
            SUBJECT,
            format!("forbidden ({errno})"),
            "look for a security module (SELinux, AppArmor) that forbids io_uring",
        ),
        (Errno::ENOSYS, _) => Finding::stop(
            SUBJECT,
            "the kernel has none",
            "use a Linux kernel built with CONFIG_IO_URING",
        ),
        (Errno::ENOMEM, _) => Finding::stop(
            SUBJECT,
            "not enough lockable memory for a ring",
            "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)",
        ),
        (Errno::EMFILE | Errno::ENFILE, _) => Finding::stop(
            SUBJECT,
            "no file descriptor left for a ring",
            "raise the file limit (ulimit -n)",
        ),
        _ => Finding::stop(
            SUBJECT,
            format!("does not work ({errno})"),
            "report this with the output of uname -a",
        ),
    }
}
