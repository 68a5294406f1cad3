//! Directories and files as the journal uses them: the real ones here, a simulated one in the tests.
//!
//! Nothing is retried and nothing is buffered: what a call returns is what the disk said.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that holds files of the journal.
pub(super) trait Dir: Debug + Send + Sync {
    /// For messages.
    fn path(&self) -> &Path;
    fn list(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Empties a file that exists.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals last.
    fn sync(&self) -> io::Result<()>;
    fn space(&self) -> io::Result<Space>;
    /// The open directory, where there is one.
    fn plain(&self) -> Option<&fs::File>;
}

/// An open file. Its bytes are read and written at a place; there is no position.
pub(super) trait File: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// As many bytes as there are, up to the length of the buffer.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// All of them, or an error.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes what was written last.
    fn sync(&self) -> io::Result<()>;
    /// The file below, where there is one.
    fn plain(&self) -> Option<&fs::File>;
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub free: u64,
    pub total: u64,
}

/// A directory of the operating system, locked for this process as long as the value lives.
#[derive(Debug)]
pub(super) struct RealDir {
    path: PathBuf,
    handle: fs::File,
}

impl RealDir {
    /// Opens and locks; `WouldBlock` if another process has it. Nothing is touched: the lock is on the directory itself.
    pub fn lock(path: &Path) -> io::Result<RealDir> {
        let handle = fs::File::open(path)?;
        rustix::fs::flock(&handle, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(RealDir { path: path.to_owned(), handle })
    }

    /// Opens without a lock, for who only reads.
    pub fn unlocked(path: &Path) -> io::Result<RealDir> {
        Ok(RealDir { path: path.to_owned(), handle: fs::File::open(path)? })
    }

    pub fn check_writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        Ok(rustix::fs::access(&self.path, Access::WRITE_OK | Access::EXEC_OK)?)
    }
}

impl Dir for RealDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        let file = fs::OpenOptions::new().read(true).write(true).open(&path);
        // A copy kept read-only can still be verified.
        let file = file.or_else(|error| fs::File::open(&path).map_err(|_| error))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        // State of calls is in there: for the exchange's own user alone.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(self.path.join(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let all = rustix::fs::fstatvfs(&self.handle)?;
        Ok(Space { free: all.f_bavail * all.f_frsize, total: all.f_blocks * all.f_frsize })
    }

    fn plain(&self) -> Option<&fs::File> {
        Some(&self.handle)
    }
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn plain(&self) -> Option<&fs::File> {
        Some(&self.file)
    }
}
