//! Where things run and what they cost: cores, child processes, their threads' CPU time and memory.
//!
//! CPU time is what the kernel counts: of threads in `/proc/<pid>/task/<tid>/schedstat`, of a process in `/proc/<pid>/stat`;
//! so Linux only. What a figure means is for others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;

/// Longest a server may take to say where it listens.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest a server may take to stop in order.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Threads of bidders: more than two are never short of time before a server on one core is.
const BIDDERS_MAX: usize = 2;
/// The unit of times in `/proc/<pid>/stat`: hundredths of a second, whatever the kernel's own clock does.
const TICK: Duration = Duration::from_millis(10);
/// Lines of a server's log that are kept.
const LOG_MAX: usize = 2_000;

/// The cores a run uses: one for the server, what is left for the load.
#[derive(Clone, Debug)]
pub struct Cores {
    pub server: Vec<usize>,
    pub carriers: Vec<usize>,
    /// One thread of bidders each.
    pub bidders: Vec<usize>,
}

impl Cores {
    /// With a single core, where nothing is bound and figures say little.
    fn none() -> Cores {
        Cores { server: Vec::new(), carriers: Vec::new(), bidders: Vec::new() }
    }

    /// Of those this process may use: the server has the first for itself.
    pub fn choose() -> io::Result<Cores> {
        let allowed = rustix::thread::sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        Ok(match cores[..] {
            [] | [_] => Cores::none(),
            [server, load] => Cores { server: vec![server], carriers: vec![load], bidders: vec![load] },
            [server, carriers, ref bidders @ ..] => Cores {
                server: vec![server],
                carriers: vec![carriers],
                bidders: bidders.iter().take(BIDDERS_MAX).copied().collect(),
            },
        })
    }
}

impl Cores {
    /// All but the server's.
    pub fn load(&self) -> Vec<usize> {
        let cores: BTreeSet<usize> = self.carriers.iter().chain(&self.bidders).copied().collect();
        cores.into_iter().collect()
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.server.is_empty() {
            return f.write_str("not bound: there is a single one");
        }
        write!(f, "server {:?}, carriers {:?}, bidders {:?}", self.server, self.carriers, self.bidders)
    }
}

/// Binds the calling thread, and what it starts from now on, to some cores.
fn bind_to(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Starts with everything begun in `start` bound to these cores, if there are any; the calling thread is free again
/// afterwards.
pub fn on_cores<T>(cores: &[usize], start: impl FnOnce() -> T) -> io::Result<T> {
    let before = rustix::thread::sched_getaffinity(None)?;
    if !cores.is_empty() {
        bind_to(cores)?;
    }
    let started = start();
    rustix::thread::sched_setaffinity(None, &before)?;
    Ok(started)
}

/// A server in a process of its own. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    stopped: bool,
}

/// Which stream a server says its addresses on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Stdout,
    Stderr,
}

impl Server {
    /// Starts a command and waits until `ready` makes something of a line it writes.
    pub fn start<T>(
        mut command: Command,
        cores: &[usize],
        speaks: Speaks,
        ready: impl Fn(&str) -> Option<T>,
    ) -> io::Result<(Server, T)> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        match speaks {
            Speaks::Stdout => command.stdout(Stdio::piped()),
            Speaks::Stderr => command.stderr(Stdio::piped()),
        };
        let what = command.get_program().to_string_lossy().into_owned();
        let mut child = on_cores(cores, || command.spawn())??;
        let stream: Box<dyn io::Read + Send> = match speaks {
            Speaks::Stdout => Box::new(child.stdout.take().ok_or_else(|| io::Error::other("no output"))?),
            Speaks::Stderr => Box::new(child.stderr.take().ok_or_else(|| io::Error::other("no log"))?),
        };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let (told, hear) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < LOG_MAX {
                    kept.push(line.clone());
                }
                drop(kept);
                // Nobody listens any more once the server is known to be ready.
                let _ = told.send(line);
            }
        });
        let server = Server { child, lines, stopped: false };
        let until = Instant::now() + START_LIMIT;
        loop {
            match hear.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(ready) = ready(&line) {
                        return Ok((server, ready));
                    }
                }
                Err(_) => {
                    let log = server.log().join("\n");
                    return Err(io::Error::other(format!("{what} did not start; it said:\n{log}")));
                }
            }
        }
    }

    /// What it wrote so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn cost(&self) -> io::Result<Cost> {
        Cost::of(self.child.id())
    }

    /// Asks it to stop, and waits for that; false when it had to be killed or ended with a fault.
    pub fn stop(mut self) -> io::Result<bool> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.stopped = true;
        let until = Instant::now() + STOP_LIMIT;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.stopped {
            // Already ended is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// CPU time of a process by the names of its threads, and its memory.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Of the threads that are there, in ns.
    pub threads: BTreeMap<String, Duration>,
    /// Of the process with all threads it ever had, in steps of 10 ms.
    pub whole: Duration,
    pub resident_bytes: u64,
    pub peak_bytes: u64,
}

impl Cost {
    pub fn of(pid: u32) -> io::Result<Cost> {
        let mut threads: BTreeMap<String, Duration> = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = entry?.path();
            // A thread may end between the listing and the reading.
            let (Ok(name), Ok(stat)) =
                (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat")))
            else {
                continue;
            };
            let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
            *threads.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(nanos);
        }
        let whole = process_cpu(&fs::read_to_string(format!("/proc/{pid}/stat"))?);
        let whole = whole.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no CPU time")))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let (resident_bytes, peak_bytes) = (1024 * kib("VmRSS:"), 1024 * kib("VmHWM:"));
        Ok(Cost { threads, whole, resident_bytes, peak_bytes })
    }

    /// CPU time of the threads whose name begins so.
    pub fn of_threads(&self, prefix: &str) -> Duration {
        self.threads.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, cpu)| *cpu).sum()
    }
}

/// `utime` and `stime` of `/proc/<pid>/stat`, the 14th and the 15th field. The 2nd is a name and may have spaces.
fn process_cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    TICK.checked_mul(user.checked_add(system)?)
}

/// What a machine is, for the record.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, m)| m.trim()));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores of {}, Linux {}", model.unwrap_or("an unknown CPU"), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_read_whatever_it_is_called() {
        let rest = "S 1 7 7 0 -1 4194560 1094 0 0 0 150 25 3 4 20 0 5 0 893 22437888 2090";
        for name in ["(outcry)", "(a b) c)", "(1 2 3 4 5)"] {
            assert_eq!(
                process_cpu(&format!("77 {name} {rest}")),
                Some(Duration::from_millis(1_750)),
                "{name}"
            );
        }
        assert_eq!(process_cpu("77 (outcry) S 1 7"), None);
    }

    fn mine() -> Vec<usize> {
        let set = rustix::thread::sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    #[test]
    fn while_it_loads_a_thread_is_off_the_servers_core_but_to_start_a_server() {
        let before = mine();
        let cores = Cores::choose().unwrap();
        let load = cores.load();
        assert!(load.iter().all(|core| !cores.server.contains(core)), "{cores}");
        let of_server = on_cores(&load, || {
            let of_server = on_cores(&cores.server, mine).unwrap();
            let of_thread = std::thread::spawn(mine).join().unwrap();
            (of_server, mine(), of_thread)
        });
        let one = before.len() < 2; // nothing is bound
        let expected = |bound: &[usize]| if one { before.clone() } else { bound.to_vec() };
        assert_eq!(of_server.unwrap(), (expected(&cores.server), expected(&load), expected(&load)));
        assert_eq!(mine(), before);
    }

    #[test]
    fn a_thread_that_ended_has_cost_what_it_cost() {
        const SPENT: Duration = Duration::from_millis(200);
        let cost = || Cost::of(std::process::id()).unwrap();
        let before = cost().whole;
        let busy = std::thread::Builder::new().name("gone".to_owned()).spawn(|| {
            let clock = crate::cpu::ThreadCpu::here();
            while clock.spent() < SPENT {
                std::hint::spin_loop();
            }
        });
        busy.unwrap().join().unwrap();
        let after = cost();
        assert_eq!(after.of_threads("gone"), Duration::ZERO, "it is no longer there");
        let whole = after.whole.saturating_sub(before);
        assert!(whole + 2 * TICK >= SPENT, "{whole:?}");
    }
}
