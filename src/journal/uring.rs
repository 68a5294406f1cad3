//! Writing and syncing by io_uring: both hands as tasks of one thread, with a runtime of its own.
//!
//! Only what waits for the disk goes through the ring: syncs. A write into zeros that are there goes to the kernel's own
//! memory, and by way of the ring a strict unit would wait for a turn of the runtime besides. What is done, and what
//! follows, is in `drive`. The runtime panics where the system denies io_uring, so it is asked first.

#[cfg(target_os = "linux")]
pub(super) use ring::{probe, run};

#[cfg(target_os = "linux")]
mod ring {
    use std::fs;
    use std::io;
    use std::sync::Arc;
    use std::time::Instant;

    use tokio_uring::fs::File;

    use crate::journal::Payload;
    use crate::journal::disk;
    use crate::journal::drive::{Syncer, Turn, Writer};
    use crate::journal::log::SyncJob;
    use crate::journal::work;

    /// Places in the ring: one sync is under way at a time.
    const ENTRIES: u32 = 8;

    /// Whether the system lets us, and knows what we need of it.
    pub fn probe() -> Result<(), String> {
        let ring = io_uring::IoUring::new(ENTRIES).map_err(|error| error.to_string())?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|error| error.to_string())?;
        match probe.is_supported(io_uring::opcode::Fsync::CODE) {
            true => Ok(()),
            false => Err("its io_uring has no fsync".to_owned()),
        }
    }

    /// Both hands, until the end.
    pub fn run<P: Payload>(mut writer: Writer<P>, syncer: Syncer) {
        tokio_uring::builder().entries(ENTRIES).start(async move {
            let syncing = tokio_uring::spawn(sync_all(syncer));
            loop {
                match writer.turn() {
                    Turn::Do(job) => {
                        let result = work::write(&job);
                        writer.wrote(job.bytes, &result);
                        if writer.core.wants_sync() {
                            writer.core.syncer.ring();
                            // The sync begins while more is gathered.
                            tokio::task::yield_now().await;
                        }
                    }
                    Turn::Wait(limit) => {
                        let bell = Arc::clone(&writer.core.writer);
                        bell.listen(limit).await;
                    }
                    Turn::End => break,
                }
            }
            // It ends as soon as it sees that the writer has.
            drop(syncing.await);
        });
    }

    async fn sync_all(syncer: Syncer) {
        let mut open = Open::default();
        loop {
            match syncer.turn() {
                Turn::Do(job) => {
                    let began = Instant::now();
                    let result = sync(&mut open, &job).await;
                    syncer.synced(&job, &result, began.elapsed());
                    // It may wait for memory, for a failure to be settled, or for the end.
                    syncer.core.writer.ring();
                }
                Turn::Wait(limit) => syncer.core.syncer.listen(limit).await,
                Turn::End => return,
            }
        }
    }

    async fn sync(open: &mut Open, job: &SyncJob) -> io::Result<()> {
        open.of(&job.file)?.sync_data().await?;
        if let Some(dir) = &job.dir {
            File::from_std(plain(dir.plain())?).sync_all().await?;
        }
        Ok(())
    }

    /// The segment in use, as the ring knows it.
    #[derive(Default)]
    struct Open {
        file: Option<(Arc<dyn disk::File>, File)>,
    }

    impl Open {
        fn of(&mut self, wanted: &Arc<dyn disk::File>) -> io::Result<&File> {
            let is_open = self.file.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, wanted));
            if !is_open {
                self.file = Some((Arc::clone(wanted), File::from_std(plain(wanted.plain())?)));
            }
            match &self.file {
                Some((_, file)) => Ok(file),
                None => Err(io::Error::other("no segment is open")),
            }
        }
    }

    fn plain(file: Option<&fs::File>) -> io::Result<fs::File> {
        file.ok_or_else(|| io::Error::other("the ring needs a file of the system"))?.try_clone()
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn probe() -> Result<(), String> {
    Err("it is part of Linux".to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn run<P: super::Payload>(_: super::drive::Writer<P>, _: super::drive::Syncer) {
    unreachable!("the probe refused it");
}
