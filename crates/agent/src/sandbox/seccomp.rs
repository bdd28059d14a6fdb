//! The system calls that a confined Step does not get.
//!
//! Most of them need a capability that a Step lacks anyway; the filter stands where a kernel bug or a user namespace
//! would give it back. `ptrace` is not among them: sanitizers and debuggers use it on their own children, and
//! namespaces and Landlock keep it from everything else.

use libc::c_long;
use seccompiler::{BpfProgram, sock_filter};
use serde::{Deserialize, Serialize};

use crate::sandbox::Refusal;

/// Which sockets a Step may make; pairs of connected ones it always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sockets {
    /// Those with a path. Landlock has no rule for connecting to one, and behind some of them (Docker, the session's D-Bus)
    /// whoever connects can have anything started outside; so only a file system of one's own makes them harmless.
    pub(super) unix: bool,
    /// IPv4, IPv6 and netlink. To refuse them is how `network: none` is kept without a network namespace, for UDP as well.
    pub(super) internet: bool,
}

/// Refused with "not permitted".
const FORBIDDEN: &[c_long] = &[
    // what the file system looks like
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_chroot,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // namespaces of others; new ones are refused by their flags below
    libc::SYS_setns,
    // the kernel itself
    libc::SYS_kexec_load,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    // large surfaces that builds do not need
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // keyrings belong to the user, not to a namespace
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// Since Linux 6.15; the crate `libc` does not name it yet.
const OPEN_TREE_ATTR: c_long = 467;

/// Refused with "no such system call", so that programs fall back: the flags of `clone3` lie in memory, where no filter
/// can look, and a ring would make sockets past it.
const UNKNOWN: &[c_long] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Flags of `clone` and `unshare` that make a namespace.
const NEW_NAMESPACE: u32 = 0x7e02_0000 | 0x0000_0080;

/// Requests of `ioctl` that type into a terminal as if its user had.
const TYPING: &[u32] = &[0x5412, 0x541c];

const UNIX: u32 = 1;
const INTERNET: &[u32] = &[2, 10, 16];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00f3);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
const ARCHITECTURE: Option<u32> = None;

/// System calls of the x32 interface carry this bit, and would slip through a list of ordinary numbers.
const X32: u32 = 0x4000_0000;

/// Whether this kernel filters system calls and the filter is written for its processor.
pub(super) fn probe() -> Result<(), String> {
    if ARCHITECTURE.is_none() {
        return Err(format!("Towpath has no seccomp filter for {}", std::env::consts::ARCH));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.starts_with("Seccomp:")) {
        Ok(())
    } else {
        Err("the kernel was built without CONFIG_SECCOMP_FILTER".to_owned())
    }
}

/// Installs the filter for this process and all that it becomes or starts.
pub(super) fn install(sockets: Sockets) -> Result<(), Refusal> {
    let architecture = ARCHITECTURE.ok_or(Refusal::NoFilter)?;
    seccompiler::apply_filter(&assemble(architecture, sockets)).map_err(Refusal::Filter)
}

/// Fields of the record that a filter looks at, on little-endian machines.
mod field {
    pub(super) const NUMBER: u32 = 0;
    pub(super) const ARCHITECTURE: u32 = 4;
    pub(super) const FIRST_ARGUMENT: u32 = 16;
    pub(super) const SECOND_ARGUMENT: u32 = 24;
}

fn assemble(architecture: u32, sockets: Sockets) -> BpfProgram {
    let mut program = Program::default();
    program.load(field::ARCHITECTURE);
    // A 32-bit program's calls have other numbers, so none of them is let through.
    program.unless_equal(architecture, |program| program.refuse(libc::ENOSYS));
    program.load(field::NUMBER);
    program.if_at_least(X32, |program| program.refuse(libc::ENOSYS));
    for number in UNKNOWN {
        program.if_equal(call(*number), |program| program.refuse(libc::ENOSYS));
    }
    for number in FORBIDDEN {
        program.if_equal(call(*number), |program| program.refuse(libc::EPERM));
    }
    for number in [libc::SYS_clone, libc::SYS_unshare] {
        program.if_equal(call(number), |program| {
            program.load(field::FIRST_ARGUMENT);
            program.if_any_bit(NEW_NAMESPACE, |program| program.refuse(libc::EPERM));
            program.allow();
        });
    }
    program.if_equal(call(libc::SYS_ioctl), |program| {
        program.load(field::SECOND_ARGUMENT);
        for request in TYPING {
            program.if_equal(*request, |program| program.refuse(libc::EPERM));
        }
        program.allow();
    });
    program.if_equal(call(libc::SYS_socket), |program| {
        program.load(field::FIRST_ARGUMENT);
        if sockets.unix {
            program.if_equal(UNIX, Program::allow);
        }
        if sockets.internet {
            for family in INTERNET {
                program.if_equal(*family, Program::allow);
            }
        }
        program.refuse(libc::EAFNOSUPPORT);
    });
    program.allow();
    program.0
}

/// Numbers of system calls are small.
fn call(number: c_long) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A filter under construction; every jump goes over one block.
#[derive(Default)]
struct Program(Vec<sock_filter>);

impl Program {
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_AT_LEAST: u16 = 0x35;
    const JUMP_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.0.push(sock_filter { code, jt, jf, k });
    }

    fn load(&mut self, offset: u32) {
        self.push(Self::LOAD, 0, 0, offset);
    }

    fn allow(&mut self) {
        self.push(Self::RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
    }

    fn refuse(&mut self, error: i32) {
        self.push(Self::RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | error.unsigned_abs());
    }

    fn if_equal(&mut self, value: u32, then: impl FnOnce(&mut Self)) {
        self.block(Self::JUMP_EQUAL, value, true, then);
    }

    fn unless_equal(&mut self, value: u32, then: impl FnOnce(&mut Self)) {
        self.block(Self::JUMP_EQUAL, value, false, then);
    }

    fn if_at_least(&mut self, value: u32, then: impl FnOnce(&mut Self)) {
        self.block(Self::JUMP_AT_LEAST, value, true, then);
    }

    fn if_any_bit(&mut self, bits: u32, then: impl FnOnce(&mut Self)) {
        self.block(Self::JUMP_ANY_BIT, bits, true, then);
    }

    fn block(&mut self, code: u16, value: u32, wanted: bool, then: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.push(code, 0, 0, value);
        then(self);
        // Blocks have a dozen instructions at most, far below what a jump can carry.
        let over = u8::try_from(self.0.len() - at - 1).unwrap_or(u8::MAX);
        let jump = &mut self.0[at];
        if wanted {
            jump.jf = over;
        } else {
            jump.jt = over;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u32 = 7;

    const ALL: Sockets = Sockets { unix: true, internet: true };

    /// Runs the filter as the kernel would.
    fn judge(sockets: Sockets, architecture: u32, number: u32, first: u32, second: u32) -> u32 {
        let program = assemble(HERE, sockets);
        let (mut at, mut register) = (0, 0_u32);
        loop {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            at += 1 + match code {
                Program::LOAD => {
                    register = match k {
                        field::NUMBER => number,
                        field::ARCHITECTURE => architecture,
                        field::FIRST_ARGUMENT => first,
                        field::SECOND_ARGUMENT => second,
                        _ => panic!("reads {k}"),
                    };
                    0
                }
                Program::JUMP_EQUAL => jump(register == k),
                Program::JUMP_AT_LEAST => jump(register >= k),
                Program::JUMP_ANY_BIT => jump(register & k != 0),
                Program::RETURN => return k,
                _ => panic!("instruction {code}"),
            };
        }
    }

    fn check(number: c_long, first: u32, second: u32, expected: i32) {
        let got = judge(ALL, HERE, call(number), first, second);
        let expected = match expected {
            0 => libc::SECCOMP_RET_ALLOW,
            error => libc::SECCOMP_RET_ERRNO | error.unsigned_abs(),
        };
        assert_eq!(got, expected, "{number} {first} {second}");
    }

    #[test]
    fn ordinary_calls_pass() {
        for number in [libc::SYS_read, libc::SYS_openat, libc::SYS_execve, libc::SYS_ptrace] {
            check(number, 0, 0, 0);
        }
        check(libc::SYS_clone, 0x0100_0011, 0, 0);
        check(libc::SYS_unshare, 0x0000_0400, 0, 0);
        check(libc::SYS_ioctl, 0, 0x5413, 0);
        for family in [1, 2, 10, 16] {
            check(libc::SYS_socket, family, 0, 0);
        }
    }

    #[test]
    fn dangerous_calls_are_refused() {
        for number in FORBIDDEN {
            check(*number, 0, 0, libc::EPERM);
        }
        for number in UNKNOWN {
            check(*number, 0, 0, libc::ENOSYS);
        }
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWPID, libc::CLONE_NEWNET, 0x80] {
            check(libc::SYS_clone, flag.cast_unsigned() | 17, 0, libc::EPERM);
            check(libc::SYS_unshare, flag.cast_unsigned(), 0, libc::EPERM);
        }
        for request in TYPING {
            check(libc::SYS_ioctl, 0, *request, libc::EPERM);
        }
        for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_PACKET, 99] {
            check(libc::SYS_socket, family.cast_unsigned(), 0, libc::EAFNOSUPPORT);
        }
    }

    #[test]
    fn sockets_are_allowed_by_family() {
        let refused = libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT.unsigned_abs();
        for (unix, internet) in [(true, true), (true, false), (false, true), (false, false)] {
            let sockets = Sockets { unix, internet };
            let socket = |family| judge(sockets, HERE, call(libc::SYS_socket), family, 0);
            let expected = |allowed| if allowed { libc::SECCOMP_RET_ALLOW } else { refused };
            assert_eq!(socket(UNIX), expected(unix));
            for family in INTERNET {
                assert_eq!(socket(*family), expected(internet));
            }
        }
    }

    #[test]
    fn other_numberings_get_nothing() {
        let refused = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
        let read = call(libc::SYS_read);
        assert_eq!(judge(ALL, HERE + 1, read, 0, 0), refused);
        assert_eq!(judge(ALL, HERE, read | X32, 0, 0), refused);
    }
}
