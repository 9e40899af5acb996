//! Signals that end the program: it leaves no temporary file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::{fs, thread};

use super::{Failure, Result};

/// What the first signal sets, where that is enough to end the program.
static STOPPED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// A flag that the first signal sets. The second one ends the program at once.
pub fn first_signal() -> Arc<AtomicBool> {
    Arc::clone(STOPPED.get_or_init(Arc::default))
}

/// Has `clean` run before a signal ends the program. What is not known to be called stays as it was.
pub fn before_end(clean: fn()) -> Result {
    static WATCHED: Once = Once::new();
    let mut watching = Ok(());
    WATCHED.call_once(|| watching = watch(clean));
    watching.map_err(|error| Failure(format!("signals: {error}")))
}

#[cfg(unix)]
fn watch(clean: fn()) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    let ignored = ignored_signals();
    // Behind `nohup`, or in the background of a script, some are to be ignored, and go on being so.
    let ends = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    // A file beyond `ulimit -f` is the writer's error, and no end of the program.
    let mut signals = Signals::new(ends.chain([SIGXFSZ]))?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever().filter(|signal| *signal != SIGXFSZ) {
            if STOPPED.get().is_some_and(|stopped| !stopped.swap(true, Ordering::Relaxed)) {
                continue;
            }
            clean();
            let _ = emulate_default_handler(signal);
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// A bit for each signal that was ignored when the program began, where the system tells: the lowest is signal 1.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
fn watch(_clean: fn()) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    if let Some(stopped) = STOPPED.get() {
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(stopped))?;
            flag::register(signal, Arc::clone(stopped))?;
        }
    }
    Ok(())
}
