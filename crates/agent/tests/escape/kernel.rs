//! Asking the kernel for what would take the walls down.

use crate::{Control, SIGN, has, must_fail, python};

/// Makes a system call by number; prints the sign if anything but a refusal comes back.
fn call(control: Control, numbers: &str, arguments: &str) {
    if !has("python3") {
        return;
    }
    let text = format!(
        "number = dict(zip(('x86_64', 'aarch64', 'riscv64'), {numbers}))[platform.machine()]\n\
         result = libc.syscall(number, {arguments})\n\
         error = ctypes.get_errno()\n\
         print('{SIGN}' if result >= 0 or error not in (1, 13, 38) else 'refused', result, error)"
    );
    must_fail(control, |_| {}, |_| python(&text));
}

#[test]
fn mount_a_file_system() {
    call(Control::NotTried, "(165, 40, 40)", "b'none', b'/tmp', b'tmpfs', 0, None");
    call(Control::NotTried, "(430, 430, 430)", "b'tmpfs', 0");
    call(Control::NotTried, "(428, 428, 428)", "-100, b'/', 1");
}

#[test]
fn make_a_user_namespace() {
    call(Control::NotTried, "(272, 97, 97)", "0x10000000");
    must_fail(Control::NotTried, |_| {}, |_| format!("unshare --user --map-root-user true && echo {SIGN}"));
    must_fail(
        Control::NotTried,
        |_| {},
        |_| format!("bwrap --unshare-user --ro-bind / / true && echo {SIGN}"),
    );
}

#[test]
fn make_a_user_namespace_by_clone() {
    // A child would come back with 0; the refusal comes back as -1.
    call(Control::NotTried, "(56, 220, 220)", "0x10000000 | 17, 0, 0, 0, 0");
    call(Control::NotTried, "(435, 435, 435)", "0, 0");
}

#[test]
fn join_a_namespace() {
    if has("python3") {
        let text = format!(
            "fd = os.open('/proc/self/ns/net', os.O_RDONLY)\nif libc.setns(fd, 0) == 0 or ctypes.get_errno() != 1: print('{SIGN}')"
        );
        must_fail(Control::NotTried, |_| {}, |_| python(&text));
    }
}

#[test]
fn use_the_keyring_of_the_agents_user() {
    // Asks for the session's keyring, and makes one where there is none.
    call(Control::ComesThrough, "(250, 219, 219)", "0, -3, 1");
    call(Control::ComesThrough, "(248, 217, 217)", "b'user', b'towpath-probe', b'x', 1, -2");
}

#[test]
fn load_a_program_into_the_kernel() {
    call(Control::NotTried, "(321, 280, 280)", "0, 0, 0");
}

#[test]
fn count_events_of_the_processor() {
    call(Control::NotTried, "(298, 241, 241)", "0, 0, -1, -1, 0");
}

#[test]
fn handle_its_own_page_faults() {
    call(Control::ComesThrough, "(323, 282, 282)", "1");
}

#[test]
fn use_a_ring_past_the_filter() {
    call(Control::NotTried, "(425, 425, 425)", "1, 0");
}

#[test]
fn type_into_a_terminal() {
    if !has("python3") {
        return;
    }
    // Newer kernels answer EIO by themselves; the filter answers EPERM first.
    let text = format!(
        "import fcntl, termios\n\
         leader, follower = os.openpty()\n\
         for request in (0x5412, 0x541c):\n\
         \x20   try:\n\
         \x20       fcntl.ioctl(follower, request, b'x')\n\
         \x20       print('{SIGN}')\n\
         \x20   except OSError as error:\n\
         \x20       print('{SIGN}' if error.errno != 1 else 'refused', error)"
    );
    must_fail(Control::ComesThrough, |_| {}, |_| python(&text));
}

#[test]
fn reach_the_terminal_of_whoever_started_it() {
    must_fail(Control::NotTried, |_| {}, |_| format!("(: >/dev/tty) 2>/dev/null && echo {SIGN}; true"));
}

#[test]
fn use_another_numbering_of_system_calls() {
    if cfg!(target_arch = "x86_64") && has("python3") {
        // x32 `keyctl`: the same call with another bit.
        let text =
            format!("result = libc.syscall(0x40000000 | 250, 0, -3, 1)\nif result >= 0: print('{SIGN}')");
        must_fail(Control::NotTried, |_| {}, |_| python(&text));
    }
}
