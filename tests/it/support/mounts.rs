//! File systems of their own, small, that a test fills up, starves or shuts down. They need root, so only `--deep` has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Folder, eventually};

const MB: u64 = 1024 * 1024;

/// A mounted file system; it is unmounted with its value.
pub struct Mount {
    at: PathBuf,
    /// What it is made of: a file, mounted by a loop device. Of memory otherwise.
    image: Option<PathBuf>,
    options: &'static str,
}

impl Mount {
    /// One in memory, of this size, on a folder that is made.
    pub fn memory(at: &Path, mb: u64) -> Mount {
        fs::create_dir_all(at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={mb}m"), "none", text(at)]);
        Mount { at: at.to_owned(), image: None, options: "" }
    }

    /// An ext4 in this file, which has holes until it is written to. `features` as mkfs knows them.
    pub fn ext4(image: &Path, mb: u64, features: &str, options: &'static str, at: &Path) -> Mount {
        fs::create_dir_all(at).unwrap();
        fs::File::create(image).unwrap().set_len(mb * MB).unwrap();
        let lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run("mkfs.ext4", &["-q", "-F", "-b", "4096", "-O", features, "-E", lazy, text(image)]);
        let mount = Mount { at: at.to_owned(), image: Some(image.to_owned()), options };
        mount.mount();
        mount
    }

    fn mount(&self) {
        if let Some(image) = &self.image {
            run("mount", &["-o", &format!("loop{}", self.options), text(image), text(&self.at)]);
        }
    }

    /// Takes what is in memory of it away and looks at the disk again, as a start after a power cut does.
    pub fn again(&self) {
        eventually("nobody uses the file system any more", || {
            Command::new("umount").arg(&self.at).output().unwrap().status.success().then_some(())
        });
        self.mount();
    }

    /// It is gone in this moment, whatever is being written: `flags` say what comes to disk first (0 everything, 1 its own
    /// log, 2 nothing).
    pub fn shut_down(&self, flags: u32) {
        // EXT4_IOC_SHUTDOWN, which XFS has too.
        let script = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', int(sys.argv[2])))";
        run("python3", &["-c", script, text(&self.at), &flags.to_string()]);
    }

    /// A file that leaves no room beside it; the room is there again when it is removed.
    pub fn fill(&self) -> PathBuf {
        fill(&self.at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what is left of a test that failed may still have files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
    }
}

/// An ext4 without a log of its own, on a disk that grows until the memory below it is used up: then every sync of something
/// new fails, and of what failed the next one succeeds. So do disks of clouds and arrays that are thinly provisioned.
pub struct Starved {
    // In this order: the upper one goes first.
    pub upper: Mount,
    lower: Mount,
    _place: Folder,
}

impl Starved {
    pub fn new(at: &Path, mb: u64) -> Starved {
        let place = Folder::new();
        let lower = Mount::memory(&place.path().join("lower"), mb);
        let image = lower.at.join("disk");
        let upper = Mount::ext4(&image, 4 * mb, "^has_journal", ",errors=continue", at);
        Starved { upper, lower, _place: place }
    }

    /// No block that was not there before comes to disk.
    pub fn starve(&self) -> PathBuf {
        fill(&self.lower.at)
    }
}

fn fill(at: &Path) -> PathBuf {
    use std::io::Write;
    let path = at.join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    let mut size = MB as usize;
    while size >= 4096 {
        match file.write_all(&vec![1; size]) {
            Ok(()) => {}
            Err(_) => size /= 2,
        }
    }
    // What did not come to disk is no ballast, and the rest is.
    let _ = file.sync_all();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, args: &[&str]) {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said} (this needs root)", args.join(" "));
}
