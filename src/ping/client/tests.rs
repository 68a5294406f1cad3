//! Connections in a world of pipes, under tokio's paused clock: a port says what becomes of who connects to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::auction::bid::Reply;

/// Nobody answers there, and nobody refuses.
const HANGS: u16 = 1;
/// Takes every connection, and answers each request with a 204.
const ANSWERS: u16 = 2;

/// As that, but takes 100 ms to connect.
const SLOW: u16 = 3;

/// Answers once, and the next request on the connection only with a 408, whether it closes then or not.
const TIMES_OUT: u16 = 4;
const TIMES_OUT_AND_STAYS: u16 = 5;

/// Takes every connection; on every second one it says everything twice.
const STAMMERS: u16 = 6;

/// Takes every connection; its second reply comes after 100 ms and ends it.
const CLOSES: u16 = 7;

/// Refuses every connection.
const REFUSES: u16 = 8;

const NO_BID: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

fn endpoint(serial: usize, ports: &[u16]) -> Arc<Endpoint> {
    let addresses: Vec<SocketAddr> = ports.iter().map(|port| (Ipv4Addr::LOCALHOST, *port).into()).collect();
    Endpoint::at(serial, &addresses)
}

/// What becomes of a connection, the one of this number.
async fn serve(port: u16, number: usize, mut stream: DuplexStream) {
    let mut request = [0; 64];
    let mut replies = match port {
        TIMES_OUT => {
            vec![b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".as_slice()]
        }
        TIMES_OUT_AND_STAYS => vec![b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n".as_slice()],
        _ => Vec::new(),
    };
    replies.insert(0, NO_BID);
    for n in 0.. {
        if !stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
            return;
        }
        if port == CLOSES && n == 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let last = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            return stream.write_all(last).await.expect("written");
        }
        stream.write_all(replies.get(n).copied().unwrap_or(NO_BID)).await.expect("written");
        if port == STAMMERS && number % 2 == 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.write_all(NO_BID).await.expect("written");
        }
    }
}

fn pool(connections: usize) -> Arc<Pool> {
    noting_pool(connections, Arc::default())
}

/// When somebody was connected to, and at which port.
type Dialled = Arc<Mutex<Vec<(tokio::time::Instant, u16)>>>;

fn noting_pool(connections: usize, dialled: Dialled) -> Arc<Pool> {
    let reach = Reach::Memory(Arc::new(move |address| {
        let mut dialled = dialled.lock().expect("no panic");
        let number = dialled.len();
        dialled.push((tokio::time::Instant::now(), address.port()));
        Box::pin(async move {
            if address.port() == HANGS {
                std::future::pending::<()>().await;
            }
            if address.port() == REFUSES {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            if address.port() == SLOW {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let (near, far) = tokio::io::duplex(1_024);
            tokio::spawn(serve(address.port(), number, far));
            Ok(near)
        })
    }));
    let second = Duration::from_secs(1);
    let limits = Limits { connections, idle: 60 * second, connect: second };
    Arc::new(Pool::new(limits, Arc::new(AtomicUsize::new(0)), reach, Clock::system()))
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test);
}

/// Asks with so many milliseconds to the deadline; the status of the reply.
async fn ask(pool: &Arc<Pool>, endpoint: &Arc<Endpoint>, ms: u64) -> Result<u16, Failure> {
    let until = pool.clock.now().after(Duration::from_millis(ms));
    let leaves = |_: &mut Request, _, _| {};
    exchange(pool, endpoint, until, leaves).await
}

async fn exchange(
    pool: &Arc<Pool>,
    endpoint: &Arc<Endpoint>,
    until: Timestamp,
    leaves: impl Fn(&mut Request, Timestamp, bool),
) -> Result<u16, Failure> {
    let taken = pool.take(std::iter::once(endpoint)).pop().expect("one");
    pool.exchange(endpoint, taken, &mut Request::plain(b"x"), until, leaves, |received| received.status).await
}

#[test]
fn the_need_is_the_p99_of_a_minute_and_a_third_more() {
    let second = |s: i64| Timestamp::from_micros(s * 1_000_000);
    let mut need = Need { seconds: VecDeque::new() };
    assert_eq!(need.connections(second(0)), 0, "never used");
    need.note(1, second(0));
    assert_eq!(need.connections(second(0)), 2, "1 and 30 %, rounded up");
    for n in 0..1_000 {
        need.note(if n < 980 { 3 } else { 10 }, second(1));
    }
    assert_eq!(need.connections(second(2)), 13, "2 % of the pings saw 10 at once");
    for n in 0..100_000 {
        need.note(if n == 0 { 10 } else { 3 }, second(5));
    }
    assert_eq!(need.connections(second(59)), 4, "10 at once is below the 99th percentile now");
    assert_eq!(need.connections(second(90)), 0, "nothing asked for a minute");
    need.note(5_000, second(91));
    assert_eq!(need.connections(second(91)), (CONCURRENT_MAX * 13).div_ceil(10), "bounded");
}

/// Else every ping would try the same dead address, each giving up before the time to connect is over.
#[test]
fn an_attempt_given_up_moves_on_to_the_next_address() {
    run(async {
        let (pool, endpoint) = (pool(9), endpoint(1, &[HANGS, ANSWERS]));
        let given_up = tokio::time::timeout(Duration::from_millis(500), ask(&pool, &endpoint, 500)).await;
        assert!(given_up.is_err(), "nobody answers there");
        assert!(endpoint.is_refusing(), "nothing is opened there ahead of need");
        assert_eq!(ask(&pool, &endpoint, 500).await.expect("a reply"), 204);
        assert!(!endpoint.is_refusing());
        assert_eq!(pool.connections(), 1, "the one given up is gone");
    });
}

#[test]
fn a_ping_whose_turn_comes_after_its_deadline_is_our_failure() {
    run(async {
        let (pool, warm, cold) = (pool(9), endpoint(1, &[ANSWERS]), endpoint(2, &[ANSWERS]));
        assert_eq!(ask(&pool, &warm, 500).await.expect("a reply"), 204);
        for endpoint in [&warm, &cold] {
            let failure = ask(&pool, endpoint, 0).await.expect_err("too late");
            assert!(failure.is_ours, "the buyer missed nothing");
            assert!(matches!(&failure.reply, Reply::NoBid(no) if no.reason == Reason::NoTime), "{failure:?}");
        }
        assert_eq!(pool.connections(), 1, "none was opened for it, and none closed");
        // Who takes so long to connect has only itself to thank.
        let failure = ask(&pool, &endpoint(3, &[SLOW]), 109).await.expect_err("too late");
        assert!(!failure.is_ours);
        assert!(matches!(&failure.reply, Reply::NoBid(no) if no.reason == Reason::Connect), "{failure:?}");
        assert_eq!(pool.connections(), 2, "it is there for the next");
    });
}

#[test]
fn what_was_said_unasked_costs_its_own_connection_only() {
    run(async {
        let (pool, one, other) = (pool(9), endpoint(1, &[STAMMERS]), endpoint(2, &[ANSWERS]));
        let four = [&one, &one, &one, &one].map(|endpoint| ask(&pool, endpoint, 500));
        futures_util::future::join_all(four).await;
        assert_eq!(ask(&pool, &other, 500).await.expect("a reply"), 204);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(pool.connections(), 5, "all lie idle");
        let waiting = |endpoints: &[&Arc<Endpoint>]| {
            let taken = pool.take(endpoints.iter().copied());
            taken.iter().map(|taken| taken.waiting.is_some()).collect::<Vec<_>>()
        };
        // Those that said more are passed over for the next that lies there, as long as there is one.
        assert_eq!(waiting(&[&one, &other, &one, &one]), [true, true, true, false]);
        assert_eq!(pool.connections(), 0, "whoever drops the question closes its connection");
        assert_eq!(waiting(&[&other, &one]), [false, false]);
    });
}

#[test]
fn no_connection_is_closed_for_nothing() {
    run(async {
        let (pool, warm) = (pool(2), endpoint(1, &[ANSWERS]));
        let both = futures_util::future::join(ask(&pool, &warm, 500), ask(&pool, &warm, 500)).await;
        assert!(both.0.is_ok() && both.1.is_ok() && pool.connections() == 2, "two lie idle");
        let failure = ask(&pool, &endpoint(2, &[]), 500).await.expect_err("nowhere to connect to");
        assert!(matches!(&failure.reply, Reply::NoBid(no) if no.reason == Reason::Dns), "{failure:?}");
        assert_eq!(pool.connections(), 2, "nobody could have used the room");
        // As when other workers are faster: what was closed made room for one of theirs.
        pool.open.fetch_add(2, Ordering::Relaxed);
        assert!(ask(&pool, &endpoint(3, &[ANSWERS]), 500).await.is_err_and(|failure| failure.is_ours));
        assert_eq!(pool.connections() - 2, 1, "closed was the one that might have made room");
        pool.open.fetch_sub(2, Ordering::Relaxed);
        assert_eq!(ask(&pool, &endpoint(3, &[ANSWERS]), 500).await.expect("a reply"), 204);
        assert_eq!(pool.connections(), 2);
    });
}

#[test]
fn a_408_that_closes_a_waiting_connection_is_no_reply() {
    run(async {
        let pool = pool(9);
        for (port, second) in [(TIMES_OUT, 204), (TIMES_OUT_AND_STAYS, 408)] {
            let endpoint = endpoint(usize::from(port), &[port]);
            assert_eq!(ask(&pool, &endpoint, 500).await.expect("a reply"), 204);
            assert_eq!(ask(&pool, &endpoint, 500).await.expect("a reply"), second, "{port}");
        }
    });
}

#[test]
fn a_ping_leaves_when_its_connection_is_there() {
    run(async {
        let (pool, endpoint) = (pool(9), endpoint(1, &[SLOW]));
        for (waited_ms, is_warm) in [(100, false), (0, true)] {
            let told = std::cell::Cell::new(None);
            let leaves = |_: &mut Request, now: Timestamp, warm: bool| told.set(Some((now, warm)));
            let began = pool.clock.now();
            let until = began.after(Duration::from_millis(500));
            assert_eq!(exchange(&pool, &endpoint, until, leaves).await.expect("a reply"), 204);
            let (left, warm) = told.get().expect("it left");
            assert_eq!((left.since(began).as_millis(), warm), (waited_ms, is_warm));
        }
    });
}

/// So many at once, with half a second to the deadline; how many got a reply, and whose failure the others are.
async fn ask_at_once(pool: &Arc<Pool>, endpoint: &Arc<Endpoint>, pings: usize) -> (usize, Vec<Failure>) {
    let asks = std::iter::repeat_with(|| ask(pool, endpoint, 500)).take(pings);
    let (replied, failed): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(asks).await.into_iter().partition(Result::is_ok);
    (replied.len(), failed.into_iter().filter_map(Result::err).collect())
}

/// More pings at once than connections may be opened at once: the rest leave on what comes back.
#[test]
fn a_ping_without_a_connection_takes_the_next_that_comes_back() {
    run(async {
        let (pool, endpoint) = (pool(500), endpoint(1, &[SLOW]));
        let began = tokio::time::Instant::now();
        let (replied, failed) = ask_at_once(&pool, &endpoint, 100).await;
        assert_eq!((replied, failed.len()), (100, 0));
        assert_eq!(began.elapsed().as_millis(), 100, "as soon as the first is back");
        // Those that were opened for the line meanwhile, and not needed by it, are there for the next.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(pool.connections(), 100);
        let shelf = pool.lock();
        let shelf = &shelf[&1];
        assert_eq!((shelf.in_use, shelf.opening, shelf.line.len(), shelf.idle.len()), (0, 0, 0, 100));
    });
}

#[test]
fn a_line_for_what_hangs_ends_in_time_and_holds_up_nobody_else() {
    run(async {
        let (pool, hangs, answers) = (pool(500), endpoint(1, &[HANGS]), endpoint(2, &[ANSWERS]));
        let (stuck, other) =
            futures_util::future::join(ask_at_once(&pool, &hangs, 70), ask_at_once(&pool, &answers, 100))
                .await;
        assert_eq!((other.0, stuck.0), (100, 0));
        // Those that were connecting are the buyer's failures, those in line are ours.
        let ours = stuck.1.iter().filter(|failure| failure.is_ours).count();
        assert_eq!((ours, stuck.1.len()), (6, 70));
        // Whose time is over holds no place: the next may connect, and has only the buyer to blame.
        let next = ask(&pool, &hangs, 500).await.expect_err("nobody answers there");
        assert!(!next.is_ours);
    });
}

#[test]
fn who_finds_the_line_full_is_told_at_once() {
    run(async {
        let (pool, hangs) = (pool(500), endpoint(1, &[HANGS]));
        let stuck = ask_at_once(&pool, &hangs, 64 + IN_LINE_MAX);
        let one_more = async {
            tokio::task::yield_now().await;
            let began = tokio::time::Instant::now();
            let failure = ask(&pool, &hangs, 500).await.expect_err("nobody answers there");
            (began.elapsed(), failure.is_ours)
        };
        let (stuck, one_more) = futures_util::future::join(stuck, one_more).await;
        assert_eq!(one_more, (Duration::ZERO, true));
        assert_eq!(stuck.1.iter().filter(|failure| failure.is_ours).count(), IN_LINE_MAX);
    });
}

/// Two leave at once on what is closed after 100 ms, three are in line; none may be opened for so many milliseconds. How many
/// got a reply, whether the failures were ours, when others were connected to, and when all was over.
fn five_of_which_two_leave(
    none_may_be_opened_ms: u64,
    is_first_refused: bool,
) -> (usize, Vec<bool>, Vec<u128>, u128) {
    let mut came = Default::default();
    run(async {
        let dialled = Dialled::default();
        let (pool, endpoint) = (noting_pool(500, Arc::clone(&dialled)), endpoint(1, &[CLOSES, REFUSES]));
        assert_eq!(ask_at_once(&pool, &endpoint, 2).await.0, 2);
        if is_first_refused {
            endpoint.attempt().end(false);
        }
        // As many as one endpoint may have are being opened.
        let permits: Vec<_> =
            (0..).map_while(|_| pool.openings.permit(endpoint.serial, true, pool.clock.now())).collect();
        let began = tokio::time::Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(none_may_be_opened_ms)).await;
            drop(permits);
        });
        let (replied, failed) = ask_at_once(&pool, &endpoint, 5).await;
        let over = began.elapsed().as_millis();
        let dialled = dialled.lock().expect("no panic");
        let after = dialled[2..].iter().map(|(at, _)| at.duration_since(began).as_millis());
        came = (replied, failed.iter().map(|failure| failure.is_ours).collect(), after.collect(), over);
        let shelf = pool.lock();
        let shelf = &shelf[&1];
        assert_eq!((shelf.in_use, shelf.opening, shelf.line.len()), (0, 0, 0));
    });
    came
}

#[test]
fn who_stands_in_line_has_one_opened_as_soon_as_that_may_be() {
    let (replied, failed, dialled, over) = five_of_which_two_leave(48, false);
    assert_eq!((replied, failed.len(), over), (5, 0, 100));
    assert_eq!(dialled, [50, 50, 50]);
}

#[test]
fn who_stands_in_line_is_told_why_the_one_opened_for_it_is_not_there() {
    let (replied, failed, dialled, _) = five_of_which_two_leave(48, true);
    assert_eq!((replied, failed), (4, vec![false]), "the buyer's failure, and once");
    assert_eq!(dialled, [50, 55, 55]);
}

#[test]
fn who_waits_for_what_is_closed_is_told_where_none_may_be_opened() {
    assert_eq!(five_of_which_two_leave(400, false), (2, vec![true; 3], vec![], 105));
}

/// Each counts as out before the other knows that nothing comes back.
#[test]
fn two_that_wait_for_each_other_are_told() {
    run(async {
        let (pool, endpoint) = (pool(500), endpoint(1, &[ANSWERS]));
        let _permits: Vec<_> =
            (0..).map_while(|_| pool.openings.permit(endpoint.serial, true, pool.clock.now())).collect();
        let began = tokio::time::Instant::now();
        let until = pool.clock.now().after(Duration::from_millis(500));
        let asks = pool.take([&endpoint, &endpoint].into_iter()).into_iter().map(async |taken| {
            let mut request = Request::plain(b"x");
            pool.exchange(&endpoint, taken, &mut request, until, |_, _, _| {}, |one| one.status).await
        });
        let failed = futures_util::future::join_all(asks).await;
        assert!(failed.iter().all(|one| one.as_ref().is_err_and(|failure| failure.is_ours)));
        assert_eq!((failed.len(), began.elapsed().as_millis()), (2, 5));
    });
}

#[test]
fn who_has_nothing_to_wait_for_is_not_kept_waiting() {
    run(async {
        let pool = pool(500);
        let hang: Vec<Arc<Endpoint>> = (1..=4).map(|serial| endpoint(serial, &[HANGS])).collect();
        let stuck = hang.iter().map(|endpoint| ask_at_once(&pool, endpoint, 64));
        let late = async {
            tokio::task::yield_now().await;
            let began = tokio::time::Instant::now();
            let failure = ask(&pool, &endpoint(5, &[ANSWERS]), 500).await.expect_err("all places are taken");
            (began.elapsed(), failure.is_ours)
        };
        let (_, late) = futures_util::future::join(futures_util::future::join_all(stuck), late).await;
        assert_eq!(late, (Duration::ZERO, true));
    });
}

#[test]
fn who_left_the_line_is_passed_over_and_who_is_late_is_told_the_time_it_has() {
    run(async {
        let (pool, endpoint) = (pool(500), endpoint(1, &[SLOW]));
        let began = pool.clock.now();
        let until = began.after(Duration::from_millis(500));
        let told = std::cell::Cell::new(None);
        let leaves = |_: &mut Request, now: Timestamp, warm: bool| told.set(Some((now, warm)));
        let first = ask_at_once(&pool, &endpoint, 64);
        let gone = tokio::time::timeout(Duration::from_millis(50), ask(&pool, &endpoint, 500));
        let last = exchange(&pool, &endpoint, until, leaves);
        let (first, gone, last) = futures_util::future::join3(first, gone, last).await;
        assert_eq!((first.0, gone.is_err(), last.expect("a reply")), (64, true, 204));
        let (left, is_warm) = told.get().expect("it left");
        assert_eq!((left.since(began).as_millis(), is_warm), (100, false));
    });
}

/// All at once would keep replies waiting that are there, and deadlines that have come.
#[test]
fn what_is_opened_ahead_is_opened_one_after_the_other() {
    run(async {
        let dialled = Dialled::default();
        let pool = noting_pool(90, Arc::clone(&dialled));
        let endpoints = [endpoint(1, &[ANSWERS]), endpoint(2, &[SLOW])];
        let asks = endpoints.iter().flat_map(|endpoint| std::iter::repeat_n(endpoint, 20));
        futures_util::future::join_all(asks.map(|endpoint| ask(&pool, endpoint, 500))).await;
        assert_eq!(pool.connections(), 40);
        dialled.lock().expect("no panic").clear();
        let began = tokio::time::Instant::now();
        pool.upkeep();
        pool.upkeep();
        // The clock of the test jumps to where nobody has anything left to do before it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(pool.connections(), 52, "a third more, and what is on its way is not missed again");
        let dialled = dialled.lock().expect("no panic");
        let came: Vec<_> = dialled.iter().map(|(at, port)| ((*at - began).as_millis(), *port)).collect();
        let paced = (0..12).map(|n| (2 * n, if n < 6 { ANSWERS } else { SLOW })).collect::<Vec<_>>();
        assert_eq!(came, paced, "over all endpoints");
    });
}
