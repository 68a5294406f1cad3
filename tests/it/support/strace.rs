//! Faults of the operating system, injected by `strace`: a call that is slow, that fails, or in which the process is killed.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::{Exchange, eventually};

/// What is added to the settings for that: calls that go through a ring are no system calls.
pub fn by_threads(settings: &str) -> String {
    settings.replace("[journal]\n", "[journal]\nbackend = \"thread\"\n")
}

/// `outcry serve` under `strace` from its first instruction: `inject` is what strace calls an injection.
pub fn from_the_start(inject: &str) -> Command {
    there();
    let mut command = Command::new("strace");
    // The tracer is the grandchild: the child that is killed and waited for is the exchange.
    let all = ["-D", "-qqq", "-f", "-o", "/dev/null", "-e", &format!("inject={inject}")];
    command.args(all).args([env!("CARGO_BIN_EXE_outcry"), "serve"]);
    command
}

/// `strace` on some threads of a process; it lets go when dropped.
pub struct Strace(Child);

impl Strace {
    /// Writes to the journal come to nothing until it is dropped. For an exchange whose journal is written by threads.
    pub fn no_write(exchange: &Exchange) -> Strace {
        Strace::of_threads(exchange.pid(), "journal-hand", "pwrite64:delay_enter=60000000")
    }

    /// As `no_write`, of its syncs: what is written is not on disk.
    pub fn no_sync(exchange: &Exchange) -> Strace {
        Strace::of_threads(exchange.pid(), "journal-hand", "fdatasync:delay_enter=60000000")
    }

    /// Attaches to the threads of this name; each counts its calls for itself.
    pub fn of_threads(pid: u32, name: &str, inject: &str) -> Strace {
        there();
        let ids = threads(pid, name);
        let inject = format!("inject={inject}");
        let args: Vec<&str> = ids.iter().flat_map(|id| ["-p", id]).chain(["-e", &inject]).collect();
        Strace::attached(pid, ids.clone(), &args)
    }

    /// Attaches to all threads of the process.
    pub fn of_all(pid: u32, injects: &[&str]) -> Strace {
        there();
        let injects = injects.iter().flat_map(|inject| ["-e".to_owned(), format!("inject={inject}")]);
        let args: Vec<String> =
            ["-f".to_owned(), "-p".to_owned(), pid.to_string()].into_iter().chain(injects).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Strace::attached(pid, all_threads(pid), &args)
    }

    /// When all of these threads are traced.
    fn attached(pid: u32, mut ids: Vec<String>, args: &[&str]) -> Strace {
        let child = Command::new("strace")
            .args(["-qqq", "-o", "/dev/null"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut strace = Strace(child);
        eventually("the threads are traced", || {
            if strace.0.try_wait().unwrap().is_some() {
                let mut said = String::new();
                strace.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("strace cannot trace the threads {ids:?}: {said}");
            }
            // One that has ended is not waited for.
            ids.retain(|id| {
                let status = fs::read_to_string(format!("/proc/{pid}/task/{id}/status"));
                let is_untraced = |line: &str| line.starts_with("TracerPid:") && line.ends_with("\t0");
                status.is_ok_and(|status| status.lines().any(is_untraced))
            });
            ids.is_empty().then_some(())
        });
        strace
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn there() {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "strace is missing: install it with the system's packages; tests/run.sh does"
    );
}

fn all_threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The ids of the threads of this name, as soon as there is one.
pub fn threads(pid: u32, name: &str) -> Vec<String> {
    eventually(&format!("there is a thread {name}"), || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().filter_map(|task| {
            let task = task.unwrap();
            let comm = fs::read_to_string(task.path().join("comm")).ok()?;
            (comm.trim_end() == name).then(|| task.file_name().to_string_lossy().into_owned())
        });
        let ids: Vec<String> = tasks.collect();
        (!ids.is_empty()).then_some(ids)
    })
}
