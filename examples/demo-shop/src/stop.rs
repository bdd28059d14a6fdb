//! The signal by which the shop is told to end.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

const SIGTERM: c_int = 15;

static REQUESTED: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
}

extern "C" fn on_term(_number: c_int) {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Ends the shop gently when it gets TERM.
pub fn listen_for_term() {
    // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
    unsafe { signal(SIGTERM, on_term) };
}

/// Whether the shop was told to end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
