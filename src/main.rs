//! The command line: reads arguments, calls the library, owns the exit codes.
//!
//! Exit codes: 0 good, 1 the answer is no, 2 usage, 64 configuration, 65 data.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the command line is shell")]

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::sync::Notify;

use outcry::app::{Running, StartError, start_logs};
use outcry::client::callers::{CallersTold, CallersVerb};
use outcry::client::verbs::{BuyerVerb, CampaignVerb, Reach};
use outcry::client::{ClientError, Remote};
use outcry::config::{self, Loaded, Problem, Settings};
use outcry::demo;
use outcry::domain::bid_table::BidTable;
use outcry::domain::catalog::{Pricing, Secret};
use outcry::domain::{CallId, Catalog, Reason, Target, Timestamp};
use outcry::journal::OpenFault;
use outcry::plan::{PlanFault, PlanVerb};
use outcry::records::CommitError;
use outcry::records::seal::Seal;
use outcry::records::sqlite::{Reader, StoreError};
use outcry::records::stored::CallQuery;
use outcry::replay::{ReplayArgs, ReplayFault, Stored};
use outcry::report::{self, As, By, EntityValues, Format, Style};
use outcry::routing::bid_table::BidIndex;
use outcry::runtime::{chain, hex, random_bytes, run_here};
use outcry::telemetry::MetricsPage;
use outcry::upkeep::{Fault, JournalVerb, RecordsVerb};
use sha2::{Digest, Sha256};

const CONFIGURATION: u8 = 64;
const DATA: u8 = 65;

#[derive(Parser)]
#[command(
    name = "outcry",
    version,
    about = "A real-time bidding exchange for inbound phone calls",
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the exchange. SIGHUP reloads the catalog, SIGTERM and Ctrl-C drain and stop; a second one stops at once.
    #[command(after_help = "Examples:\n  outcry serve\n  outcry serve --config /etc/outcry/outcry.toml")]
    Serve {
        #[command(flatten)]
        settings: SettingsFile,
        /// Go on without what is damaged or missing in the journal; what is given up is said.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Run a whole market on this machine: the exchange, simulated buyers and carriers, a live view.
    #[command(after_help = "Examples:\n  outcry demo\n  outcry demo --for 30s --calls-per-second 40")]
    Demo(DemoArgs),
    /// Check the configuration: every error at once, with file, line and what is allowed.
    #[command(
        after_help = "Examples:\n  outcry check\n  outcry check --running --config /etc/outcry/outcry.toml"
    )]
    Check {
        #[command(flatten)]
        settings: SettingsFile,
        /// Also ask the running exchange what in it differs from the files.
        #[arg(long)]
        running: bool,
        /// File with an admin key; without it the environment variable OUTCRY_KEY, where the exchange wants one.
        #[arg(long, value_name = "FILE", requires = "running")]
        key_file: Option<PathBuf>,
    },
    /// Pause, resume, cap or show a buyer, or one target of it, in the running exchange.
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  outcry buyer pause acme-auto\n  outcry buyer caps acme-auto --concurrency 5"
    )]
    Buyer(BuyerVerb),
    /// Pause, resume or show a campaign in the running exchange.
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  outcry campaign pause auto-us\n  outcry campaign show auto-us")]
    Campaign(CampaignVerb),
    /// Put callers on lists and off, in the running exchange: blocked for campaigns, suppressed for buyers.
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  outcry callers add dnc do-not-call.csv\n  outcry callers has dnc +15125550123"
    )]
    Callers(CallersVerb),
    /// Draw plans, and try what a call would meet.
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  outcry plan show auto-us\n  outcry plan try --to +18005550100 --zip 78701"
    )]
    Plan(PlanVerb),
    /// Profit and loss from the store.
    #[command(
        after_help = "Examples:\n  outcry pnl --by buyer\n  outcry pnl --by hour --since 2026-11-20T00:00:00Z --format csv"
    )]
    Pnl {
        #[command(flatten)]
        settings: SettingsFile,
        /// What to group by.
        #[arg(long, value_enum, default_value = "campaign")]
        by: By,
        /// Calls that arrived in this hour or later, RFC 3339.
        #[arg(long, value_parser = moment)]
        since: Option<Timestamp>,
        /// Calls that arrived before this hour, RFC 3339.
        #[arg(long, value_parser = moment)]
        until: Option<Timestamp>,
        /// How to print.
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Calls from the store, newest first.
    #[command(
        after_help = "Examples:\n  outcry calls --limit 20\n  outcry calls --buyer acme-auto --reason too_short --format json"
    )]
    Calls {
        #[command(flatten)]
        settings: SettingsFile,
        /// Only this campaign.
        #[arg(long)]
        campaign: Option<String>,
        /// Only this publisher.
        #[arg(long)]
        publisher: Option<String>,
        /// Only this buyer.
        #[arg(long)]
        buyer: Option<String>,
        /// Only this reason, of the decision or the end.
        #[arg(long, value_parser = reason)]
        reason: Option<Reason>,
        /// Arrived at this moment or later, RFC 3339.
        #[arg(long, value_parser = moment)]
        since: Option<Timestamp>,
        /// Arrived before this moment, RFC 3339.
        #[arg(long, value_parser = moment)]
        until: Option<Timestamp>,
        /// At most this many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// How to print.
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// One call, whole: why it went where it went, and what it was worth.
    #[command(
        after_help = "Examples:\n  outcry explain\n  outcry explain 01JD3Z5QAX7Y8R2M4N6P8S0TVW --rules"
    )]
    Explain {
        #[command(flatten)]
        settings: SettingsFile,
        /// The call's id: 26 characters. Left out, the newest call.
        #[arg(value_parser = call_id)]
        call: Option<CallId>,
        /// Only what one buyer or publisher may see: `buyer:acme-auto` or `publisher:p7`. Printed as JSON.
        #[arg(long = "as", value_name = "WHO", value_parser = whom)]
        whom: Option<As>,
        /// Also print every rule over every target, with the value it saw.
        #[arg(long, conflicts_with = "whom")]
        rules: bool,
        /// `table` for people, `json` for programs.
        #[arg(long, value_enum, default_value = "table")]
        format: ExplainFormat,
    },
    /// A recorded call decided again, from its records and the catalog of its digest: the same winner and reasons, or what
    /// would differ.
    #[command(after_help = "Examples:\n  outcry replay 01JD3Z5QAX7Y8R2M4N6P8S0TVW\n  \
                      outcry replay 01JD3Z5QAX7Y8R2M4N6P8S0TVW --set floor=20.00 --set target.acme-1.paused=true")]
    Replay(ReplayArgs),
    /// The journal: is it whole, what does it say, how fast is its disk.
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  outcry journal verify\n  outcry journal dump --limit 20")]
    Journal(JournalVerb),
    /// The store: has it what the journal says.
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  outcry records check\n  outcry records check --config /etc/outcry/outcry.toml"
    )]
    Records(RecordsVerb),
    /// Make a bearer key and the digest that goes into the configuration.
    #[command(after_help = "Examples:\n  outcry key\n  outcry key --of-stdin < existing-key")]
    Key {
        /// Print the digest of a key read from standard input instead of making one.
        #[arg(long)]
        of_stdin: bool,
    },
    /// Print the description of the admin API.
    #[command(after_help = "Examples:\n  outcry openapi\n  outcry openapi > openapi.json")]
    Openapi,
}

#[derive(clap::Args)]
struct SettingsFile {
    /// The settings file; the catalog is found from there.
    #[arg(long, value_name = "FILE", default_value = "config/outcry.toml")]
    config: PathBuf,
}

#[derive(clap::Args)]
struct DemoArgs {
    /// Stop by itself after this long, such as 30s or 2m.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    span: Option<Duration>,
    /// Calls that arrive per second.
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    calls_per_second: f64,
    /// Where configuration, store and journal of the demo go; existing ones are replaced.
    #[arg(long, value_name = "FOLDER", default_value = "outcry-demo")]
    folder: PathBuf,
    /// Port of the call traffic listener; the admin listener gets the next one. 0 lets the system choose both.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Seed of the simulated market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ExplainFormat {
    Table,
    Json,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "a moment in RFC 3339, such as 2026-11-20T09:00:00Z".to_owned())
}

fn reason(text: &str) -> Result<Reason, String> {
    let words = || Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(" ");
    Reason::parse(text).ok_or_else(|| format!("one of: {}", words()))
}

fn call_id(text: &str) -> Result<CallId, String> {
    CallId::parse(text)
        .ok_or_else(|| "26 characters of Crockford's base 32, as `outcry calls` prints them".to_owned())
}

fn whom(text: &str) -> Result<As, String> {
    As::parse(text).ok_or_else(|| "buyer:<id> or publisher:<id>".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    let allowed = || "seconds or minutes, from 1s to 24h, such as 30s or 2m".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(allowed()),
    };
    let total = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds)).ok_or_else(allowed)?;
    if (1..=86_400).contains(&total) { Ok(Duration::from_secs(total)) } else { Err(allowed()) }
}

fn rate(text: &str) -> Result<f64, String> {
    let allowed = || "a number from 0.1 to 2000".to_owned();
    text.parse::<f64>().ok().filter(|rate| (0.1..=2_000.0).contains(rate)).ok_or_else(allowed)
}

/// Why a command ends badly: what to say, and the exit code.
struct Ended {
    code: u8,
    what: String,
}

impl Ended {
    fn data(error: &StoreError) -> Ended {
        Ended { code: DATA, what: chain(error) }
    }

    fn start(error: &StartError) -> Ended {
        let code = match error {
            StartError::Journal(error) if error.fault() == OpenFault::Setting => CONFIGURATION,
            StartError::NotBegun(CommitError::Failed(_)) => CONFIGURATION,
            StartError::Journal(_)
            | StartError::CallerKeyGone { .. }
            | StartError::Unread { .. }
            | StartError::Record { .. }
            | StartError::JournalBehind { .. } => DATA,
            _ => 1,
        };
        Ended { code, what: chain(error) }
    }

    fn configuration(problems: &[Problem]) -> Ended {
        let mut what = String::new();
        for problem in problems {
            what.push_str(&format!("{problem}\n"));
        }
        let errors =
            if problems.len() == 1 { "1 error".to_owned() } else { format!("{} errors", problems.len()) };
        Ended {
            code: CONFIGURATION,
            what: format!("{what}{errors} in the configuration; nothing was started"),
        }
    }
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Ended {
        match fault {
            Fault::No(what) => Ended { code: 1, what },
            Fault::Setting(what) => Ended { code: CONFIGURATION, what },
            Fault::Data(what) => Ended { code: DATA, what },
            Fault::Output(error) => error.into(),
        }
    }
}

impl From<PlanFault> for Ended {
    fn from(fault: PlanFault) -> Ended {
        match fault {
            PlanFault::NoPlan(..) | PlanFault::NoList(..) => Ended { code: 1, what: fault.to_string() },
            PlanFault::Tags(_) => Ended { code: 2, what: fault.to_string() },
            PlanFault::Output(error) => error.into(),
        }
    }
}

impl From<ReplayFault> for Ended {
    fn from(fault: ReplayFault) -> Ended {
        let code = match &fault {
            ReplayFault::Nothing(_) => 1,
            ReplayFault::Setting(_) => 2,
            ReplayFault::NotReplayable(_) => DATA,
            ReplayFault::Store(error) => return Ended::data(error),
            ReplayFault::Output(_) => 1,
        };
        match fault {
            ReplayFault::Output(error) => error.into(),
            other => Ended { code, what: other.to_string() },
        }
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Ended {
        // Whoever reads the output has read enough, as `head` does.
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 };
        Ended { code, what: error.to_string() }
    }
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Ended {
        let code = match error {
            ClientError::Unreachable { .. } | ClientError::Refused(_) => 1,
            ClientError::Strange { .. } => DATA,
        };
        Ended { code, what: error.to_string() }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended { code, what }) => {
            if code != 0 {
                // Where nobody listens the code still says it.
                let _ = writeln!(std::io::stderr(), "{what}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(verb: Verb) -> Result<(), Ended> {
    match verb {
        Verb::Serve { settings, accept_loss } => serve(load(&settings)?, accept_loss),
        Verb::Demo(args) => run_demo(args),
        Verb::Check { settings, running, key_file } => {
            let loaded = check(&settings)?;
            if running { check_running(&loaded, key_file.as_deref()) } else { Ok(()) }
        }
        Verb::Buyer(verb) => operate(verb.reach(), |remote, by| verb.run(remote, by)),
        Verb::Campaign(verb) => operate(verb.reach(), |remote, by| verb.run(remote, by)),
        Verb::Callers(verb) => callers(&verb),
        Verb::Plan(verb) => {
            let loaded = load(&SettingsFile { config: verb.config().to_owned() })?;
            Ok(verb.run(
                &loaded.catalog,
                outcry::runtime::Clock::system().now(),
                &mut std::io::stdout().lock(),
            )?)
        }
        Verb::Pnl { settings, by, since, until, format } => {
            let pnl =
                report::pnl(&reader(&settings)?, by, since, until).map_err(|error| Ended::data(&error))?;
            Ok(report::print(&mut std::io::stdout().lock(), format, style(), &pnl.rows, Some(&pnl.total))?)
        }
        Verb::Calls { settings, campaign, publisher, buyer, reason, since, until, limit, format } => {
            let reason = reason.map(Reason::code);
            let query = CallQuery { campaign, publisher, buyer, reason, since, until, after: None };
            let page = report::calls(&reader(&settings)?, &query, limit as usize)
                .map_err(|error| Ended::data(&error))?;
            Ok(report::print(&mut std::io::stdout().lock(), format, style(), &page.calls, None)?)
        }
        Verb::Explain { settings, call, whom, rules, format } => {
            explain(&settings, call, whom.as_ref(), rules, format)
        }
        Verb::Replay(args) => {
            let settings = settings(&args.config)?;
            let reader = Reader::open(&settings.store.path).map_err(|error| Ended::data(&error))?;
            let is_equal = args.run(&settings, &reader, &mut std::io::stdout().lock(), style())?;
            let differs =
                || Ended { code: 1, what: "the call does not come out as it was recorded".to_owned() };
            if is_equal { Ok(()) } else { Err(differs()) }
        }
        Verb::Journal(verb) => {
            let settings = settings(verb.config())?;
            // Without the key what is sealed is told to be so.
            let key = std::fs::read(&settings.pings.caller_key_file).unwrap_or_default();
            let seal = Seal::of(&Secret(key));
            Ok(verb.run(&settings.journal.kept, &seal, &mut std::io::stdout().lock(), style())?)
        }
        Verb::Records(verb) => {
            let settings = settings(verb.config())?;
            let out = &mut std::io::stdout().lock();
            Ok(verb.run(&settings.journal.kept, &settings.store.path, out, style())?)
        }
        Verb::Key { of_stdin } => key(of_stdin),
        Verb::Openapi => Ok(writeln!(std::io::stdout(), "{}", outcry::admin::openapi())?),
    }
}

fn style() -> Style {
    Style::on(std::io::stdout().is_terminal())
}

fn load(settings: &SettingsFile) -> Result<Loaded, Ended> {
    config::load(&settings.config).map_err(|problems| Ended::configuration(&problems))
}

/// The settings alone: what reads the store or the journal needs no catalog.
fn settings(file: &Path) -> Result<Settings, Ended> {
    config::load_settings(file).map_err(|problems| Ended::configuration(&problems))
}

fn reader(settings: &SettingsFile) -> Result<Reader, Ended> {
    let settings = self::settings(&settings.config)?;
    Reader::open(&settings.store.path).map_err(|error| Ended::data(&error))
}

fn check(settings: &SettingsFile) -> Result<Loaded, Ended> {
    let loaded = load(settings)?;
    let mut out = std::io::stdout().lock();
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let catalog = &loaded.catalog;
    let asking = catalog.targets.iter().filter(|target| target.endpoint().is_some()).count();
    writeln!(out, "{} is good: {} warnings", settings.config.display(), loaded.warnings.len())?;
    writeln!(
        out,
        "  call traffic on {}, admin on {}",
        loaded.settings.call_traffic.listen, loaded.settings.admin.listen
    )?;
    writeln!(out, "  store {}", loaded.settings.store.path.display())?;
    writeln!(
        out,
        "  {} carriers, {} campaigns, {} publishers, {} tracking numbers",
        catalog.carriers.len(),
        catalog.campaigns.len(),
        catalog.publishers.len(),
        catalog.numbers.len()
    )?;
    writeln!(
        out,
        "  {} buyers, {} targets ({asking} with a bid endpoint), {} plans",
        catalog.buyers.len(),
        catalog.targets.len(),
        catalog.plans.len()
    )?;
    for line in bid_tables(catalog) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  catalog {}", catalog.digest)?;
    drop(out);
    Ok(loaded)
}

/// Most bid tables that `check` names.
const TABLES_SHOWN_MAX: usize = 50;

/// A line for each bid table: how many rows it has, and what of it takes longer than looking a row up.
fn bid_tables(catalog: &Catalog) -> Vec<String> {
    let tables = catalog.targets.iter().filter_map(|target| match &target.pricing {
        Pricing::Table(table) => Some((target, table)),
        Pricing::Fixed(_) | Pricing::Endpoint(_) => None,
    });
    let more = tables.clone().count().saturating_sub(TABLES_SHOWN_MAX);
    let told = |(target, table): (&Target, &BidTable)| {
        let index = BidIndex::new(table, &catalog.buyer(target.buyer).zone);
        let how = index.scanned().told().unwrap_or_else(|| "every row found by its columns".to_owned());
        format!("bids of {}: {}, {how}", target.id, table.size())
    };
    let mut lines: Vec<String> = tables.take(TABLES_SHOWN_MAX).map(told).collect();
    if more > 0 {
        lines.push(format!("and {more} more bid tables"));
    }
    lines
}

/// Where the running exchange takes its operators' requests, and the key to show there.
fn remote(settings: &Settings, key_file: Option<&Path>) -> Result<Remote, Ended> {
    let key = match key_file {
        Some(file) => {
            let what = |error| Ended { code: 1, what: format!("{} cannot be read: {error}", file.display()) };
            Some(std::fs::read_to_string(file).map_err(what)?.trim().to_owned())
        }
        None => std::env::var("OUTCRY_KEY").ok(),
    };
    let cert_file = settings.admin.tls.as_ref().map(|tls| tls.cert_file.clone());
    Ok(Remote { listen: settings.admin.listen, cert_file, key })
}

/// What differs in the running exchange from the files that were just found good.
fn check_running(loaded: &Loaded, key_file: Option<&Path>) -> Result<(), Ended> {
    let running = remote(&loaded.settings, key_file)?.changes()?;
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    if *running.files != *loaded.catalog.digest {
        writeln!(out, "the running exchange has read other files: a reload puts these into force")?;
    }
    match running.changes.len() {
        0 => writeln!(out, "nothing was changed at run time")?,
        1 => writeln!(out, "1 change was made at run time:")?,
        count => writeln!(out, "{count} changes were made at run time:")?,
    }
    if !running.changes.is_empty() {
        report::print(&mut out, Format::Table, style(), &running.changes, None)?;
    }
    for idle in running.changes.iter().filter(|change| change.is_idle) {
        writeln!(
            out,
            "{} {} is not in the files that are in force: its change lies idle",
            idle.entity, idle.id
        )?;
    }
    Ok(())
}

/// What the shell says of who asks: for the history, not for permission.
fn user() -> Option<String> {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    user.filter(|user| (1..=80).contains(&user.len()) && !user.contains(char::is_control))
}

/// Asks the running exchange about caller lists, and prints what it says.
fn callers(verb: &CallersVerb) -> Result<(), Ended> {
    let reach = verb.reach();
    let remote = remote(&settings(&reach.config)?, reach.key_file.as_deref())?;
    let (out, style) = (&mut std::io::stdout().lock(), style());
    match verb.run(&remote, user().as_deref())? {
        CallersTold::Changed(changed) => report::print(out, reach.format, style, &[changed], None)?,
        CallersTold::Lists(lists) => report::print(out, reach.format, style, &lists, None)?,
        CallersTold::On(on) => report::print(out, reach.format, style, &[on], None)?,
    }
    Ok(())
}

/// Asks the running exchange, and prints what is in force then.
fn operate(
    reach: &Reach,
    ask: impl Fn(&Remote, Option<&str>) -> Result<EntityValues, ClientError>,
) -> Result<(), Ended> {
    let settings = settings(&reach.config)?;
    let remote = remote(&settings, reach.key_file.as_deref())?;
    let found = ask(&remote, user().as_deref())?;
    Ok(report::print(&mut std::io::stdout().lock(), reach.format, style(), &found.values, None)?)
}

fn explain(
    settings: &SettingsFile,
    call: Option<CallId>,
    whom: Option<&As>,
    rules: bool,
    format: ExplainFormat,
) -> Result<(), Ended> {
    let settings = self::settings(&settings.config)?;
    let reader = Reader::open(&settings.store.path).map_err(|error| Ended::data(&error))?;
    let nothing = |what: String| Ended { code: 1, what };
    let call = match call {
        Some(call) => call,
        None => newest(&reader)?.ok_or_else(|| nothing("the store knows no call yet".to_owned()))?,
    };
    let mut read = Stored::new(&settings);
    let found = report::explain_by(&reader, call, &mut |digest| read.catalog(&reader, digest));
    let found = found.map_err(|error| Ended::data(&error))?;
    let explained =
        found.ok_or_else(|| nothing(format!("the store knows no call {call}; see `outcry calls`")))?;
    let mut out = std::io::stdout().lock();
    if let Some(whom) = whom {
        let digest = explained.decision.as_ref().map(|decision| decision.catalog.clone());
        let catalog = digest.and_then(|digest| read.catalog(&reader, &digest).ok());
        let cut = explained.cut(whom, catalog.as_deref());
        let cut = cut.ok_or_else(|| nothing(format!("call {call} is none of its business")))?;
        serde_json::to_writer_pretty(&mut out, &cut).map_err(std::io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    match format {
        ExplainFormat::Table => write!(out, "{}", explained.text_with(style(), rules))?,
        ExplainFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &explained).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn newest(reader: &Reader) -> Result<Option<CallId>, Ended> {
    let found = reader.calls(&CallQuery::default(), 1).map_err(|error| Ended::data(&error))?;
    Ok(found.first().map(|call| call.call_id))
}

fn key(of_stdin: bool) -> Result<(), Ended> {
    let key = if of_stdin {
        let mut text = String::new();
        std::io::stdin().read_line(&mut text)?;
        text.trim().to_owned()
    } else {
        hex(&random_bytes::<32>())
    };
    if key.is_empty() {
        return Err(Ended { code: 1, what: "standard input holds no key".to_owned() });
    }
    if !of_stdin {
        writeln!(std::io::stdout(), "key     {key}")?;
    }
    writeln!(std::io::stdout(), "digest  sha256:{}", hex(&Sha256::digest(key.as_bytes())))?;
    Ok(())
}

fn serve(loaded: Loaded, accept_loss: bool) -> Result<(), Ended> {
    start_logs(&loaded.settings);
    for warning in &loaded.warnings {
        tracing::warn!(warning = %warning, "configuration warning");
    }
    let metrics = MetricsPage::install().map_err(|what| Ended { code: 1, what })?;
    let signals = Signals::heed()?;
    let running = Running::start(loaded, metrics, accept_loss).map_err(|error| Ended::start(&error))?;
    run_here(signals.until_stopped(&running))?;
    running.stop();
    Ok(())
}

/// What the operator asked for by signals.
#[derive(Default)]
struct Signals {
    reload: Notify,
    stop: Notify,
}

impl Signals {
    /// Listens from now on, on a thread of its own, so that no signal is missed whatever else goes on.
    fn heed() -> std::io::Result<Arc<Signals>> {
        let signals = Arc::new(Signals::default());
        let heard = Arc::clone(&signals);
        let (ready, listens) = std::sync::mpsc::sync_channel(1);
        let listen = move || {
            // Without a runtime nobody hears of the failure: `ready` is dropped.
            let _ = run_here(heard.listen(ready));
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
        let failed = |_| std::io::Error::other("the thread that listens to signals did not start");
        listens.recv().map_err(failed)??;
        Ok(signals)
    }

    async fn listen(&self, ready: SyncSender<std::io::Result<()>>) {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()];
        let [Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)] = kinds.map(signal) else {
            let _ = ready.send(Err(std::io::Error::other("the system gives no signals")));
            return;
        };
        // Whoever started this waits for it.
        let _ = ready.send(Ok(()));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    self.reload.notify_one();
                    continue;
                }
            }
            if is_stopping {
                // What is not on disk by now was not acknowledged.
                tracing::error!("stopped at once, as was asked for a second time");
                std::process::exit(1);
            }
            is_stopping = true;
            self.stop.notify_one();
        }
    }

    /// Reloads on SIGHUP; returns on SIGTERM or Ctrl-C.
    async fn until_stopped(&self, running: &Running) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.notified() => return,
                () = self.reload.notified() => running.reload(),
            }
        }
    }
}

fn run_demo(args: DemoArgs) -> Result<(), Ended> {
    let options = demo::Options {
        folder: args.folder,
        span: args.span,
        calls_per_second: args.calls_per_second,
        port: args.port,
        seed: args.seed,
        is_terminal: std::io::stdout().is_terminal(),
    };
    demo::run(options).map_err(|error| match error {
        demo::DemoError::Configuration(problems) => Ended::configuration(&problems),
        other => Ended { code: 1, what: other.to_string() },
    })
}
