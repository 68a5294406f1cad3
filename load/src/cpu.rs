//! Processor time of one thread, as the kernel counts it: what a simulator itself costs, told apart from what it
//! measures. Linux only; elsewhere nothing is known.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The clock of a thread, readable from every other one.
#[derive(Debug, Default)]
pub struct ThreadCpu {
    schedstat: Option<PathBuf>,
    /// The last reading in ns, for when the thread is gone.
    last_ns: AtomicU64,
}

impl ThreadCpu {
    /// The clock of the calling thread.
    pub fn here() -> ThreadCpu {
        // `1234/task/1236`: only the thread itself is told its number there.
        let here = std::fs::read_link("/proc/thread-self").ok();
        ThreadCpu {
            schedstat: here.map(|own| PathBuf::from("/proc").join(own).join("schedstat")),
            last_ns: AtomicU64::new(0),
        }
    }

    /// Time on a processor so far; that of the last reading once the thread is gone.
    pub fn spent(&self) -> Duration {
        let text = self.schedstat.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let read = text.as_deref().and_then(on_cpu_ns).unwrap_or(0);
        Duration::from_nanos(self.last_ns.fetch_max(read, Ordering::Relaxed).max(read))
    }
}

/// The first of three figures: ns on a processor, ns waiting for one, time slices.
fn on_cpu_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_figure_is_the_time_on_a_processor() {
        for (text, expected) in [("1234567 89 3\n", Some(1_234_567)), ("", None), ("x 1 2", None)] {
            assert_eq!(on_cpu_ns(text), expected, "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_busy_thread_spends_and_what_it_spent_outlives_it() {
        let (clock, spent) = std::thread::spawn(|| {
            let clock = ThreadCpu::here();
            let mut turns = 0u64;
            while clock.spent() < Duration::from_millis(20) {
                turns = std::hint::black_box(turns + 1);
            }
            let spent = clock.spent();
            (clock, spent)
        })
        .join()
        .unwrap();
        assert!(spent >= Duration::from_millis(20));
        assert!(clock.spent() >= spent);
    }
}
