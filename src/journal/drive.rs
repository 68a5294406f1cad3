//! The hands of a running journal: who writes, who syncs, who keeps house. Each turn of a hand is one function here;
//! two threads take turns in whatever is due, or two tasks do one each on an io_uring (`uring`). A third thread keeps house.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::append::{Item, Queue, lock};
use super::disk::{Dir, RealDir};
use super::format::Header;
use super::house::House;
use super::keeper::{Core, Parts, RETRY};
use super::log::{Batch, Log, Next, SyncJob, WriteJob};
use super::open::{Found, OpenError};
use super::{AppendError, Appender, Disk, Keeper, Payload, Waits, choice, survey, uring, work};

/// Bytes not on disk after which nothing more is taken out of the queue: those of two segments, and no more than this.
const QUEUE_BYTES: u64 = 64 * 1024 * 1024;
/// A hand looks again after this long, rung or not.
const LOOK: Duration = Duration::from_secs(1);
/// Between the beginnings of two syncs that nobody waits for. Under load nearly every call would have its own, which takes
/// as long a time of a processor as writing it down; a power cut costs at most this much more of what nobody was promised.
const SYNC_EVERY: Duration = Duration::from_millis(10);
/// How far the priority of the thread that prepares segments is lowered: it fills them long before they are needed.
const BEHIND_CALLS: i32 = 10;
/// Longest a close waits for the disk.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A number for the records of one file: drawn, and never zero.
pub(super) fn epoch() -> u32 {
    let mut bytes = [0; 4];
    // Without chance the epoch still differs from zeros; a file's records are told from another's by number as well.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes) | 1
}

impl Found {
    /// Begins to write. Directories that are missing are made; then threads run until `Keeper::close`. Faults are said
    /// in sentences.
    pub fn start<P: Payload>(
        self,
        on_fault: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Appender<P>, Keeper), OpenError> {
        let found = self.with_directories()?;
        let dir = &*found.dirs[0];
        let io = |error| survey::io(&dir.path().display().to_string(), error);
        let id = match found.survey.id {
            Some(id) => id,
            None => {
                let mut id = [0; 16];
                getrandom::fill(&mut id).map_err(|error| io(io::Error::other(error.to_string())))?;
                work::begin(dir, &id).map_err(io)?;
                id
            }
        };
        let settings = &found.settings;
        let (bytes, percent) = (settings.segment_bytes, settings.free_percent);
        let mut house = House::new(Arc::clone(&found.dirs), bytes, percent, id, found.survey.mark);
        // It syncs the directories too: names that a process killed before its sync had given are on disk from here on.
        house.clear(&found.survey.blank).map_err(io)?;
        let begin = found.begin(id, epoch())?;
        house.ensure_spare(0).map_err(io)?;
        let choice = choice::choose(settings.backend, dir)?;
        let core = Arc::new(Core::new(Parts {
            dirs: Arc::clone(&found.dirs),
            id,
            choice,
            keep_bytes: settings.keep_bytes,
            segment_bytes: bytes,
            log: Log::new(begin),
            snapshot: found.survey.snapshot.unwrap_or(0),
            on_fault: Box::new(on_fault),
        }));
        let (appender, writer) = queue(&core, settings.queue_records, found.survey.next);
        let threads = spawn(writer, house, &core).map_err(io)?;
        Ok((appender, Keeper::new(core, threads)))
    }

    /// With every directory there and locked.
    fn with_directories(self) -> Result<Found, OpenError> {
        let paths = self.settings.paths().count();
        if !self.is_new && self.dirs.len() == paths {
            return Ok(self);
        }
        for path in self.settings.paths() {
            fs::create_dir_all(path)
                .map_err(|error| OpenError::NotWritable { dir: path.to_owned(), error })?;
            // The name of the new directory is to last too.
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                let synced = RealDir::unlocked(parent).and_then(|parent| parent.sync());
                synced.map_err(|error| survey::io(&parent.display().to_string(), error))?;
            }
        }
        let settings = self.settings.clone();
        // The locks go with it, to be taken again at once: with what was found before, since nobody wrote meanwhile.
        let accept_loss = self.survey.cut.as_ref().is_some_and(|cut| cut.accepted);
        let next = self.survey.next;
        drop(self);
        let mut found = Found::open(&settings, accept_loss)?;
        found.pass_over(next - 1);
        Ok(found)
    }
}

/// Where records come in, and who takes them out; the first has the number `next`.
pub(super) fn queue<P: Payload>(core: &Arc<Core>, places: usize, next: u64) -> (Appender<P>, Writer<P>) {
    let (bell, intake) = (Arc::clone(&core.writer), Arc::clone(&core.intake));
    let queue = Arc::new(Queue::new(places, bell, intake));
    let writer = Writer::new(Arc::clone(core), Arc::clone(&queue), next);
    (Appender::new(queue), writer)
}

fn spawn<P: Payload>(
    writer: Writer<P>,
    house: House,
    core: &Arc<Core>,
) -> io::Result<Vec<thread::JoinHandle<()>>> {
    let mut threads = Vec::new();
    let syncer = Syncer::new(Arc::clone(core));
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    match core.choice.disk {
        Disk::Uring => {
            threads.push(named("journal-uring").spawn(move || uring::run(writer, syncer))?);
        }
        Disk::Thread | Disk::Sim => {
            let hands = Arc::new((Mutex::new(writer), syncer));
            for _ in 0..2 {
                let hands = Arc::clone(&hands);
                threads.push(named("journal-hand").spawn(move || lend_a_hand(&hands.0, &hands.1))?);
            }
        }
    }
    let core = Arc::clone(core);
    threads.push(named("journal-house").spawn(move || {
        // Where priorities cannot be lowered it is only that.
        let _ = rustix::process::nice(BEHIND_CALLS);
        keep_house(&core, house);
    })?);
    Ok(threads)
}

/// One of two threads alike: each writes or syncs, whatever nobody does at the moment. So a record that comes alone is
/// written and synced by one thread, which is woken once, and while that one waits for the disk the other writes.
fn lend_a_hand<P: Payload>(writer: &Mutex<Writer<P>>, syncer: &Syncer) {
    loop {
        let rest = match syncer.turn() {
            Turn::Do(job) => {
                let began = Instant::now();
                let result = work::sync(&job);
                syncer.synced(&job, &result, began.elapsed());
                continue;
            }
            Turn::Wait(rest) => rest,
            Turn::End => LOOK,
        };
        // Bound first: nobody else could write while the guard lives.
        let turn = lock(writer).turn();
        match turn {
            Turn::Do(job) => {
                let result = work::write(&job);
                lock(writer).wrote(job.bytes, &result);
            }
            // Whoever is busy looks at everything again before it sleeps.
            Turn::Wait(limit) => syncer.core.writer.wait(limit.min(rest)),
            Turn::End => break,
        }
    }
    // The other one is to end as well.
    syncer.core.writer.ring();
}

/// What a hand does next.
pub(super) enum Turn<J> {
    Do(J),
    Wait(Duration),
    End,
}

/// The hand that takes records out of the queue and appends them.
pub(super) struct Writer<P> {
    pub core: Arc<Core>,
    queue: Arc<Queue<P>>,
    items: VecDeque<Item<P>>,
    next: u64,
    closing_since: Option<Instant>,
}

impl<P: Payload> Writer<P> {
    fn new(core: Arc<Core>, queue: Arc<Queue<P>>, next: u64) -> Writer<P> {
        Writer { core, queue, items: VecDeque::new(), next, closing_since: None }
    }

    /// What to do now.
    pub fn turn(&mut self) -> Turn<WriteJob> {
        if self.core.is_closing.load(Ordering::Acquire) {
            self.closing_since.get_or_insert_with(Instant::now);
            self.queue.close();
        }
        if self.has_given_up() {
            return self.end();
        }
        self.gather();
        // Bound first: a guard in the condition of a `match` would live as long as its arms.
        let next = lock(&self.core.log).next_write();
        match next {
            Next::Write(job) => Turn::Do(job),
            Next::Segment(header) => self.begin_segment(header),
            Next::Nothing if self.is_over() => self.end(),
            Next::Nothing => Turn::Wait(LOOK),
        }
    }

    /// Makes one batch of what is queued, unless too much waits for the disk already.
    fn gather(&mut self) {
        let (kept, buffer, batch_limit, limit) = {
            let mut log = lock(&self.core.log);
            // Until the other hand has written, what comes is for the queue to bound.
            if log.is_writing() {
                return;
            }
            (log.kept(), log.buffer(), log.batch_limit(), log.record_limit())
        };
        if kept as u64 >= QUEUE_BYTES.min(2 * self.core.segment_bytes) {
            return;
        }
        self.queue.take(&mut self.items);
        let mut batch = Batch::new(buffer);
        let mut records = 0;
        while batch.bytes() < batch_limit
            && let Some(Item { payload, waits }) = self.items.pop_front()
        {
            let added = batch.add(self.next, limit, |out| {
                // A bug in one payload must not end the journal for all the others: what it wrote is taken back.
                let begin = out.len();
                if std::panic::catch_unwind(AssertUnwindSafe(|| payload.write(out))).is_err() {
                    out.truncate(begin);
                }
            });
            if let Err(bytes) = added {
                let error = match bytes > limit {
                    true => AppendError::TooLarge { bytes, limit },
                    false => AppendError::Unwritable,
                };
                self.core.say("a record is lost", &error);
                waits.refuse(error);
                continue;
            }
            match waits {
                Waits::Nothing => {}
                Waits::Kernel(ack) => batch.wait_for_kernel(self.next, ack),
                Waits::Disk(ack) => batch.wait_for_disk(self.next, ack),
            }
            self.next += 1;
            records += 1;
        }
        let tally = &self.core.tally;
        tally.records.fetch_add(records, Ordering::Relaxed);
        tally.bytes.fetch_add(batch.bytes() as u64, Ordering::Relaxed);
        lock(&self.core.log).push(batch);
    }

    fn begin_segment(&mut self, mut header: Header) -> Turn<WriteJob> {
        let waits = self.core.pause();
        if !waits.is_zero() {
            return Turn::Wait(waits);
        }
        header.epoch = epoch();
        let place = self.core.place.load(Ordering::Relaxed);
        let dir = Arc::clone(&self.core.dirs[place]);
        match work::open_segment(&*dir, &header, &super::cursor::segment_name(header.number)) {
            Ok(file) => {
                lock(&self.core.log).opened(header, file, place, dir);
                self.core.house.ring();
                self.turn()
            }
            // The house is told, and rings when there is one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.core.house.ring();
                if self.core.is_unprepared.load(Ordering::Relaxed) {
                    self.core.stands_still();
                }
                Turn::Wait(RETRY)
            }
            Err(error) => {
                lock(&self.core.log).not_opened(header);
                self.core.failed("a segment of the journal cannot be begun", &error);
                Turn::Wait(RETRY)
            }
        }
    }

    /// What became of the write.
    pub fn wrote(&mut self, bytes: Vec<u8>, result: &io::Result<()>) {
        let acks = lock(&self.core.log).wrote(bytes, result);
        self.core.tally.batches.fetch_add(1, Ordering::Relaxed);
        for (seq, ack) in acks {
            // Whoever stopped waiting does not hear it.
            let _ = ack.send(Ok(seq));
        }
        if let Err(error) = result {
            self.core.failed("the journal cannot be written", error);
        }
    }

    /// Whether the journal is closed and everything is on disk.
    fn is_over(&mut self) -> bool {
        self.closing_since.is_some()
            && self.queue.close()
            && self.items.is_empty()
            && lock(&self.core.log).is_settled()
    }

    fn has_given_up(&self) -> bool {
        self.closing_since.is_some_and(|since| since.elapsed() > CLOSE_WAIT)
    }

    fn end(&mut self) -> Turn<WriteJob> {
        for item in self.items.drain(..) {
            item.waits.refuse(AppendError::Closed);
        }
        self.queue.end();
        self.core.end();
        Turn::End
    }
}

/// The hand that syncs what is written.
pub(super) struct Syncer {
    pub core: Arc<Core>,
    /// When the last sync began.
    began: Mutex<Option<Instant>>,
}

impl Syncer {
    /// Of a journal that begins.
    pub fn new(core: Arc<Core>) -> Syncer {
        Syncer { core, began: Mutex::new(None) }
    }

    /// What to do now.
    pub fn turn(&self) -> Turn<SyncJob> {
        let core = &self.core;
        let next = {
            let mut log = lock(&core.log);
            let rest = self.rest();
            if log.has_unsynced() && !rest.is_zero() && !core.is_pressing(&log) {
                core.is_resting.store(true, Ordering::Relaxed);
                return Turn::Wait(rest);
            }
            core.is_resting.store(false, Ordering::Relaxed);
            log.next_sync()
        };
        match next {
            Some(job) => {
                core.is_hurried.store(false, Ordering::Relaxed);
                *lock(&self.began) = Some(Instant::now());
                Turn::Do(job)
            }
            None if self.core.has_ended.load(Ordering::Acquire) => Turn::End,
            None => Turn::Wait(LOOK),
        }
    }

    /// How long a sync that nobody waits for is not begun yet.
    fn rest(&self) -> Duration {
        lock(&self.began).map_or(Duration::ZERO, |began| SYNC_EVERY.saturating_sub(began.elapsed()))
    }

    /// What became of the sync, and how long it took.
    pub fn synced(&self, job: &SyncJob, result: &io::Result<()>, took: Duration) {
        let (acks, has_moved) = {
            let mut log = lock(&self.core.log);
            let acks = log.synced(job, result);
            // Under the lock: the other hand may end the journal as soon as it sees that all is settled, and who reads
            // along takes what is known to be on disk by then for everything.
            (acks, self.core.reach(log.durable()))
        };
        if has_moved {
            self.core.wake_readers();
        }
        for (seq, ack) in acks {
            // Whoever stopped waiting does not hear it.
            let _ = ack.send(Ok(seq));
        }
        match result {
            Ok(()) => self.core.works(took),
            Err(error) => self.core.failed("the journal cannot be synced", error),
        }
    }
}

fn keep_house(core: &Core, mut house: House) {
    let mut marked = Instant::now();
    loop {
        let has_ended = core.has_ended.load(Ordering::Acquire);
        let place = core.place.load(Ordering::Relaxed);
        if !has_ended {
            match house.ensure_spare(place) {
                Ok(()) => {
                    core.is_unprepared.store(false, Ordering::Relaxed);
                    core.writer.ring();
                }
                Err(error) => {
                    core.is_unprepared.store(true, Ordering::Relaxed);
                    core.say("the next segment of the journal cannot be prepared", &error);
                    // Elsewhere, if there is an elsewhere.
                    core.place.store((place + 1) % core.dirs.len(), Ordering::Relaxed);
                }
            }
        }
        if has_ended || marked.elapsed() >= LOOK {
            marked = Instant::now();
            tidy(core, &mut house, has_ended);
        }
        if has_ended {
            return;
        }
        core.house.wait(LOOK.saturating_sub(marked.elapsed()).max(Duration::from_millis(10)));
    }
}

/// What is done once a second, and at the end.
fn tidy(core: &Core, house: &mut House, has_ended: bool) {
    if let Err(error) = house.put_mark(core.durable()) {
        core.say("the mark of the journal cannot be written", &error);
    }
    if has_ended {
        return;
    }
    for place in 0..core.dirs.len() {
        if let Err(error) = house.ensure_spare(place) {
            core.say("the next segment of the journal cannot be prepared", &error);
        }
    }
    let (upto, snapshot) = core.released();
    let gone = lock(&core.log).release(upto, core.keep_bytes);
    let reserved = house.remove(&gone, snapshot).and_then(|()| house.ensure_reserve());
    if let Err(error) = reserved {
        core.say("the directory of the journal cannot be kept in order", &error);
    }
    match house.room() {
        Ok(room) => {
            core.tally.free_bytes.store(room.space.free, Ordering::Relaxed);
            core.tally.total_bytes.store(room.space.total, Ordering::Relaxed);
            let was_low = core.intake.is_low.swap(room.is_low, Ordering::Relaxed);
            if room.is_low && !was_low {
                core.tell(&format!(
                    "the disk of the journal has {} bytes free: bulk records are dropped until there is more",
                    room.space.free
                ));
            }
            if was_low && !room.is_low {
                core.tell("the disk of the journal has room again: bulk records are kept");
            }
        }
        Err(error) => core.say("the disk of the journal cannot be asked for its room", &error),
    }
}
