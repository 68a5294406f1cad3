//! A whole market on one machine: a real exchange on loopback, simulated buyers and carriers around it, a live view.
//!
//! The simulators speak HTTP to the exchange's own listeners; nothing here reaches around them. What the view adds it
//! reads from the store. Not here: load measurements, which need a machine of their own.

mod market;
mod view;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use load::bidders::Bidders;
use load::carriers::Carriers;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{Running, StartError, start_logs};
use crate::config::{self, Problem};
use crate::domain::{CallId, Money, Reason};
use crate::journal::{self, OpenError};
use crate::records::check::{CheckError, Checked, check};
use crate::records::sqlite::{Reader, StoreError};
use crate::records::stored::CallQuery;
use crate::report::{self, By, Format, Style};
use crate::runtime::run_here;
use crate::telemetry::MetricsPage;
use view::Figures;

/// How often the screen is drawn anew.
const REDRAW: Duration = Duration::from_millis(500);
/// How often a line is printed where there is no screen.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What the demo is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its configuration, store and journal go.
    pub folder: PathBuf,
    /// When it stops by itself.
    pub span: Option<Duration>,
    /// Calls that arrive per second.
    pub calls_per_second: f64,
    /// Port of the call traffic listener; admin gets the next. 0 lets the system choose.
    pub port: u16,
    /// Seed of the market.
    pub seed: u64,
    /// Whether somebody looks at a screen.
    pub is_terminal: bool,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The folder holds something else.
    #[error("{0:?} is not a folder of an earlier demo; choose another with --folder")]
    NotOurs(PathBuf),
    /// A file.
    #[error("cannot write {path:?}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The demo's own configuration: a bug of the demo.
    #[error("the demo's configuration has errors")]
    Configuration(Vec<Problem>),
    /// A part did not start.
    #[error("{0}; --port 0 lets the system choose free ports")]
    Start(#[from] StartError),
    /// Another demo runs there.
    #[error("a demo is running on {0:?}; end it, or choose another folder with --folder")]
    Running(PathBuf),
    /// Money that does not add up: always a bug.
    #[error("the ledger entries of call {call} sum to {sum} instead of zero")]
    Imbalance {
        /// Whose entries.
        call: CallId,
        /// Their sum.
        sum: Money,
    },
    /// A store that is not what the journal says: always a bug.
    #[error(
        "{off} rows and {behind} records of the journal are not in the store as they were written: {what}"
    )]
    Difference {
        /// Rows that are missing or different.
        off: u64,
        /// Records it has not taken.
        behind: u64,
        /// The first of them.
        what: String,
    },
    /// The journal could not be replaced.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Journal or store could not be read at the end.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The simulators or the terminal.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Metrics.
    #[error("{0}")]
    Metrics(String),
}

/// Runs the demo to its end.
pub fn run(options: Options) -> Result<(), DemoError> {
    let began = Instant::now();
    let bidders = market::start_bidders(options.seed)?;
    let files = market::write(&options.folder, options.port, &bidders)?;
    let loaded = config::load(&files.settings).map_err(DemoError::Configuration)?;
    start_logs(&loaded.settings);
    let (store, kept) = (loaded.settings.store.path.clone(), loaded.settings.journal.kept.clone());
    match journal::discard(&kept.dir) {
        Err(OpenError::InUse { .. }) => return Err(DemoError::Running(options.folder)),
        done => done?,
    }
    let plan_of = loaded.catalog.clone();
    let metrics = MetricsPage::install().map_err(DemoError::Metrics)?;
    let running = Running::start(loaded, metrics, false)?;
    let base_url = format!("http://{}", running.call_traffic);
    let (rate, seed) = (options.calls_per_second, options.seed);
    let plan = market::calls(base_url, files.carriers, &plan_of, rate, seed)
        .ok_or_else(|| io::Error::other("the shipped catalog has no carrier"))?;
    let carriers = Carriers::start(plan, bidders.trace())?;
    let places = places(&running, &files.settings);
    let reader = Reader::open(&store)?;
    let watched = run_here(watch(&options, &running, (&bidders, &carriers), &reader, &places, began))?;
    let last = carriers.stop(market::LAST_CALLS);
    running.stop();
    bidders.stop();
    watched?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} calls answered in {:.0} s; profit and loss by buyer:\n",
        last.answered,
        last.elapsed.as_secs_f64()
    )?;
    finish(&mut out, &options, &reader, (&files.settings, &kept, &store))
}

/// The P&L, and what to try next.
fn finish(
    out: &mut impl Write,
    options: &Options,
    reader: &Reader,
    (settings, kept, store): (&Path, &journal::Settings, &Path),
) -> Result<(), DemoError> {
    let pnl = report::pnl(reader, By::Buyer, None, None)?;
    report::print(out, Format::Table, Style::on(options.is_terminal), &pnl.rows, Some(&pnl.total))?;
    audit(out, reader, &check(kept, store)?)?;
    let query = CallQuery { reason: Some(Reason::Billable.code()), ..CallQuery::default() };
    let sold = report::calls(reader, &query, 1)?.calls;
    let call = sold.first().map(|call| call.call_id.as_str());
    writeln!(out, "\nThe store is kept in {}. Look further:", options.folder.join("store").display())?;
    for command in commands(settings, call) {
        writeln!(out, "  {command}")?;
    }
    Ok(())
}

/// Says whether books and records are in order; money that does not add up ends the demo badly.
fn audit(out: &mut impl Write, reader: &Reader, checked: &Checked) -> Result<(), DemoError> {
    let totals = reader.totals()?;
    if let Some(off) = checked.imbalances.first() {
        return Err(DemoError::Imbalance { call: off.call_id, sum: off.sum });
    }
    writeln!(
        out,
        "\n{} calls, {} ends, {} ledger entries: every group of entries sums to zero.",
        totals.calls, totals.ended, totals.entries
    )?;
    if checked.off() > 0 || checked.behind > 0 {
        let what = checked.examples.first().map_or_else(String::new, ToString::to_string);
        return Err(DemoError::Difference { off: checked.off(), behind: checked.behind, what });
    }
    writeln!(
        out,
        "All {} rows that the journal keeps are in the store as they were written.",
        checked.rows()
    )?;
    Ok(())
}

/// Three commands that work while the demo runs and after it.
fn commands(settings: &Path, call: Option<&str>) -> [String; 3] {
    let program = program();
    let settings = settings.display();
    [
        format!("{program} pnl --by publisher --config {settings}"),
        format!("{program} calls --limit 20 --config {settings}"),
        // Without a call it explains the newest one.
        format!(
            "{program} explain{} --config {settings}",
            call.map_or_else(String::new, |id| format!(" {id}"))
        ),
    ]
}

/// How this program is called from the folder it was started in.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let here = std::env::current_dir().ok();
    match (path, here) {
        (Some(path), Some(here)) => match path.strip_prefix(&here) {
            Ok(inside) => inside.display().to_string(),
            Err(_) => path.display().to_string(),
        },
        _ => "outcry".to_owned(),
    }
}

fn places(running: &Running, settings: &Path) -> Vec<String> {
    let mut lines = vec![
        format!("call traffic  http://{}/v1/route", running.call_traffic),
        format!("admin         http://{}/metrics   /api/v1/calls   /readyz", running.admin),
    ];
    lines.extend(commands(settings, None));
    lines.push("Ctrl-C ends the demo and prints the profit and loss.".to_owned());
    lines
}

/// Shows figures until Ctrl-C or the end of the span.
async fn watch(
    options: &Options,
    running: &Running,
    (bidders, carriers): (&Bidders, &Carriers),
    reader: &Reader,
    places: &[String],
    began: Instant,
) -> Result<(), DemoError> {
    let until = options.span.map(|span| Instant::now() + span);
    let characters = market::characters();
    let every = if options.is_terminal { REDRAW } else { LINE_EVERY };
    // Listened to from here on, so that no Ctrl-C comes between two looks.
    let mut stop = signal(SignalKind::interrupt())?;
    let mut screen = Screen::open(options.is_terminal, places)?;
    first_decision(carriers, began, &mut screen).await?;
    let (mut mark, mut is_well) = ((0, 0.0), false);
    loop {
        market::turn_mood(bidders, began.elapsed(), &mut is_well);
        let figures = Figures::read(carriers.snapshot(), mark, running.exchange(), reader)?;
        screen.show(&figures, |figures| figures.screen(&characters, running.exchange(), places))?;
        // The rate is that of the last lines' interval, but of half a second it would only flicker.
        if !options.is_terminal || figures.mark().1 - mark.1 >= LINE_EVERY.as_secs_f64() {
            mark = figures.mark();
        }
        let pause = until.map_or(every, |until| every.min(until.saturating_duration_since(Instant::now())));
        if pause.is_zero() {
            return Ok(());
        }
        tokio::select! {
            _ = stop.recv() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Waits for the first decision, since a demo that shows nothing must say so soon.
async fn first_decision(carriers: &Carriers, began: Instant, screen: &mut Screen) -> Result<(), DemoError> {
    const PATIENCE: Duration = Duration::from_secs(15);
    let start = Instant::now();
    while carriers.snapshot().answered == 0 && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    screen.note(&format!("first decision {:.1} s after the start", began.elapsed().as_secs_f64()))
}

/// Where the figures go; gives the terminal back however the demo ends.
struct Screen {
    is_terminal: bool,
}

impl Screen {
    fn open(is_terminal: bool, places: &[String]) -> io::Result<Screen> {
        let mut out = io::stdout().lock();
        if is_terminal {
            // The alternate screen, without cursor and without wrapped lines.
            write!(out, "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J")?;
        } else {
            for place in places {
                writeln!(out, "{place}")?;
            }
        }
        out.flush()?;
        Ok(Screen { is_terminal })
    }

    fn note(&mut self, text: &str) -> Result<(), DemoError> {
        if !self.is_terminal {
            writeln!(io::stdout(), "{text}")?;
        }
        Ok(())
    }

    fn show(&mut self, figures: &Figures, screen: impl Fn(&Figures) -> String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_terminal {
            write!(out, "\x1b[H{}\x1b[J", screen(figures))?;
        } else {
            writeln!(out, "{}", figures.line())?;
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            let mut out = io::stdout();
            // A terminal that is gone needs nothing back.
            let _ = write!(out, "\x1b[?7h\x1b[?25h\x1b[?1049l").and_then(|()| out.flush());
        }
    }
}
