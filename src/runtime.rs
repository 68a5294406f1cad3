//! What the shell runs on: the clock, the source of ids and draws, and the signal to stop.
//!
//! The one place that reads a clock or draws randomness; everything below is told. Under tokio's paused clock the wall
//! clock moves with virtual time.

pub mod pulse;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::draw::mix;
use crate::domain::{CallId, HoldId, PingId, Timestamp};
use pulse::Pulse;

/// Wall time that never runs backwards: an anchor read once, monotonic time since, and a slew towards the system's clock.
#[derive(Clone, Debug)]
pub struct Clock {
    anchor: Arc<Anchor>,
}

#[derive(Debug)]
struct Anchor {
    wall: i64,
    start: Instant,
    slew: AtomicI64,
}

/// Largest correction per `Clock::slew` call, in microseconds: 0.5 ms, called once a second.
const SLEW_STEP_US: i64 = 500;
/// An offset above this is reported and left alone until a restart, in microseconds.
pub const OFFSET_ALARM_US: i64 = 2_000_000;

impl Clock {
    /// A clock that starts at the system's time.
    pub fn system() -> Clock {
        Clock::starting_at(system_time())
    }

    /// A clock that starts at this moment.
    pub fn starting_at(wall: Timestamp) -> Clock {
        let anchor = Anchor { wall: wall.micros(), start: Instant::now(), slew: AtomicI64::new(0) };
        Clock { anchor: Arc::new(anchor) }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.anchor.start.elapsed().as_micros() as i64;
        Timestamp::from_micros(self.anchor.wall + elapsed + self.anchor.slew.load(Ordering::Relaxed))
    }

    /// Waits until `at`; returns at once if it has passed.
    pub async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.now())).await;
    }

    /// How far the system's clock is ahead, in microseconds; moves this one towards it by at most 0.5 ms. Call it once a
    /// second. An offset above `OFFSET_ALARM_US` is only reported.
    pub fn slew(&self) -> i64 {
        let offset = system_time().micros() - self.now().micros();
        if offset.abs() <= OFFSET_ALARM_US {
            self.anchor.slew.fetch_add(offset.clamp(-SLEW_STEP_US, SLEW_STEP_US), Ordering::Relaxed);
        }
        offset
    }
}

fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(since.as_micros() as i64)
}

/// Ids, seeds and tokens. One seed gives one sequence; tokens come from the operating system unless the seed was given.
#[derive(Clone, Debug)]
pub struct Entropy {
    state: Arc<AtomicU64>,
    from_system: bool,
}

impl Entropy {
    /// Seeded by the operating system.
    pub fn system() -> Entropy {
        let seed = u64::from_le_bytes(os_bytes());
        Entropy { state: Arc::new(AtomicU64::new(seed)), from_system: true }
    }

    /// Reproducible, tokens included: for tests and simulations only.
    pub fn seeded(seed: u64) -> Entropy {
        Entropy { state: Arc::new(AtomicU64::new(seed)), from_system: false }
    }

    /// 64 bits for draws; not for secrets.
    pub fn bits(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        mix(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }

    /// 128 bits nobody can guess.
    pub fn token(&self) -> u128 {
        if self.from_system {
            u128::from_le_bytes(os_bytes())
        } else {
            u128::from(self.bits()) << 64 | u128::from(self.bits())
        }
    }

    /// An id for a call.
    pub fn call_id(&self, now: Timestamp) -> CallId {
        CallId::from_bits(self.uuid7(now))
    }

    /// An id for a ping.
    pub fn ping_id(&self, now: Timestamp) -> PingId {
        PingId::from_bits(self.uuid7(now))
    }

    /// An id for a hold.
    pub fn hold_id(&self, now: Timestamp) -> HoldId {
        HoldId::from_bits(self.uuid7(now))
    }

    /// UUIDv7 layout: 48 bits of milliseconds, version, variant, 74 bits of chance.
    fn uuid7(&self, now: Timestamp) -> u128 {
        let millis = (now.millis() as u128 & 0xffff_ffff_ffff) << 80;
        let high = u128::from(self.bits() & 0xfff) << 64;
        let low = u128::from(self.bits() >> 2);
        millis | 0x7 << 76 | high | 0b10 << 62 | low
    }
}

fn os_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// `N` random bytes from the operating system, for keys.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    os_bytes()
}

/// Tells every part to stop, once.
#[derive(Clone, Debug)]
pub struct Shutdown {
    stop: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { stop: Arc::new(watch::Sender::new(false)) }
    }
}

impl Shutdown {
    /// Starts the stop.
    pub fn begin(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits for it.
    pub async fn wait(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives in `self`, so waiting can only end by the stop.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Longest that a runtime waits at its end for threads of its own, such as one that looks up a name.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

/// Runs a future on this thread to its end, on a runtime of its own. What the runtime still does then is left behind.
pub fn run_here<F: Future>(future: F) -> std::io::Result<F::Output> {
    run_on(tokio::runtime::Builder::new_current_thread(), future)
}

/// Runs a worker's future as `run_here` does, and tells its pulse when the thread sleeps. `before_sleep` is called first.
pub fn run_worker<F: Future>(
    pulse: &Arc<Pulse>,
    before_sleep: impl Fn() + Send + Sync + 'static,
    future: F,
) -> std::io::Result<F::Output> {
    let (sleeps, wakes) = (Arc::clone(pulse), Arc::clone(pulse));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let parks = move || {
        before_sleep();
        sleeps.sleeps();
    };
    builder.on_thread_park(parks).on_thread_unpark(move || wakes.wakes());
    run_on(builder, future)
}

fn run_on<F: Future>(mut builder: tokio::runtime::Builder, future: F) -> std::io::Result<F::Output> {
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(future);
    runtime.shutdown_timeout(LEFT_BEHIND);
    Ok(done)
}

/// How far `behind_calls` lowers a thread's priority: to about a tenth of what another gets where both want all of it.
const BEHIND_CALLS: i32 = 10;

/// Puts this thread behind those that calls wait for: for what operators ask, and what writes up what has happened. Where
/// priorities cannot be lowered it is only that.
pub fn behind_calls() {
    let _ = rustix::process::nice(BEHIND_CALLS);
}

/// Goes on once whatever is ready on this runtime has had its turn, this often. Unlike with `yield_now` the runtime does not
/// look at the network before: where nothing is ready it costs a fraction of a microsecond.
pub async fn behind_others(times: u32) {
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two digests are equal, in a time that does not depend on where they differ.
pub fn same_digest(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Some errors print their cause themselves.
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_moves_with_virtual_time() {
        let start = Timestamp::parse("2026-11-20T09:00:00Z").expect("a time");
        let clock = Clock::starting_at(start);
        clock.sleep_until(start.after(Duration::from_secs(3_600))).await;
        assert_eq!(clock.now().to_the_second(), "2026-11-20T10:00:00Z");
    }

    #[tokio::test]
    async fn what_is_ready_goes_first() {
        let said = std::sync::Mutex::new(String::new());
        let says = |word: char, times: u32| {
            let said = &said;
            async move {
                said.lock().expect("no panic").push(word);
                behind_others(times).await;
                said.lock().expect("no panic").push(word.to_ascii_uppercase());
            }
        };
        tokio::join!(says('a', 2), says('b', 1), says('c', 0));
        assert_eq!(*said.lock().expect("no panic"), "abcCBA");
    }

    #[test]
    fn a_seed_reproduces_ids_and_they_are_ordered_by_time() {
        let now = Timestamp::parse("2026-11-20T09:00:00Z").expect("a time");
        let (a, b) = (Entropy::seeded(1), Entropy::seeded(1));
        assert_eq!(a.call_id(now), b.call_id(now));
        assert!(a.call_id(now) < a.call_id(now.after(Duration::from_millis(1))));
        let bits = a.call_id(now).bits();
        assert_eq!((bits >> 76 & 0xf, bits >> 62 & 0b11), (7, 0b10), "UUIDv7 layout");
    }
}
