//! Decisions are taken beside the connection that asked for them, and do not end with it.
//!
//! One task polls both: no turn of the runtime stands between the last reply and the answer. But a reply wakes only the
//! decision, not what reads and writes the connection. What is left of decisions when their connection ends goes on as
//! tasks. What is decided, and who waits for it, is not known here.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

type Decision = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How often what decisions are taken beside is polled before others have their turn: a request is read and its decision
/// begins, and if nobody has to be asked it is answered.
const TURNS: usize = 2;

/// The decisions of one connection.
#[derive(Clone, Default)]
pub struct Beside(Arc<Mutex<Vec<Decision>>>);

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beside")
    }
}

impl Beside {
    /// Has a decision taken: by [`Beside::along`], which is what adds it. A panic in it is its end.
    pub(super) fn add(&self, decision: impl Future<Output = ()> + Send + 'static) {
        let fenced = AssertUnwindSafe(decision).catch_unwind().map(drop);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(fenced));
    }

    fn take(&self) -> Vec<Decision> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes along with `main` to its end, and takes what it adds. What is not over then, or when this is dropped, goes on
    /// as a task of its own.
    pub async fn along<T>(&self, main: impl Future<Output = T>) -> T {
        let mut main = pin!(main);
        let called = Arc::new(Called { is_called: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&called));
        let mut taken = Taken { beside: self.clone(), decisions: Vec::new() };
        poll_fn(|cx| {
            called.task.register(cx.waker());
            for _ in 0..TURNS {
                // Decisions first: mostly it is they that were woken.
                taken.poll(cx);
                if !called.is_called.swap(false, Ordering::AcqRel) {
                    return Poll::Pending;
                }
                if let Poll::Ready(done) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(done);
                }
                taken.decisions.append(&mut taken.beside.take());
            }
            taken.poll(cx);
            if called.is_called.load(Ordering::Acquire) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

/// Whether what decisions are taken beside was woken, and whose task it is.
struct Called {
    is_called: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_called.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Decisions under way; what is left of them goes on.
struct Taken {
    beside: Beside,
    decisions: Vec<Decision>,
}

impl Taken {
    fn poll(&mut self, cx: &mut Context<'_>) {
        self.decisions.retain_mut(|decision| decision.as_mut().poll(cx).is_pending());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Without a runtime the process ends, and everything with it.
        let Ok(runtime) = Handle::try_current() else { return };
        for decision in self.decisions.drain(..).chain(self.beside.take()) {
            runtime.spawn(decision);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn who_asked_goes_on_when_it_is_told_and_the_decision_after_it() {
        let beside = Beside::default();
        let (tell, told) = oneshot::channel();
        let (over, mut is_over) = oneshot::channel();
        let asked = async {
            beside.add(async move {
                tell.send("answer").expect("somebody listens");
                yield_now().await;
                over.send("recorded").expect("the test listens");
            });
            told.await
        };
        assert_eq!(beside.along(asked).await, Ok("answer"));
        assert!(is_over.try_recv().is_err(), "the answer waited for the rest");
        assert_eq!(is_over.await, Ok("recorded"));
    }

    #[tokio::test]
    async fn a_decision_goes_on_when_nobody_asks_any_more() {
        let beside = Beside::default();
        let (reply, replied) = oneshot::channel();
        let (over, is_over) = oneshot::channel();
        let asked = async {
            beside.add(async move { over.send(replied.await).expect("the test listens") });
            std::future::pending::<()>().await;
        };
        assert_eq!(beside.along(asked).now_or_never(), None, "it is dropped here");
        reply.send("bid").expect("the decision waits");
        assert_eq!(is_over.await, Ok(Ok("bid")));
    }

    #[tokio::test]
    async fn a_decision_that_comes_to_nothing_tells_so() {
        let beside = Beside::default();
        let (tell, told) = oneshot::channel::<()>();
        let asked = async {
            beside.add(async move {
                let _tell = tell;
                panic!("a bug");
            });
            told.await
        };
        assert!(beside.along(asked).await.is_err());
    }

    #[tokio::test]
    async fn what_wakes_a_decision_does_not_wake_its_connection() {
        let beside = Beside::default();
        let (tell, told) = oneshot::channel();
        let polls = AtomicUsize::new(0);
        let mut asked = pin!(async {
            beside.add(async move {
                for _ in 0..100 {
                    yield_now().await;
                }
                tell.send(()).expect("somebody listens");
            });
            told.await
        });
        let counted = poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            asked.as_mut().poll(cx)
        });
        assert_eq!(beside.along(counted).await, Ok(()));
        assert_eq!(polls.load(Ordering::Relaxed), 2, "when it asked, and when it was told");
    }

    #[tokio::test]
    async fn one_that_always_wants_to_go_on_lets_others_have_their_turn() {
        let (over, mut is_over) = oneshot::channel();
        tokio::spawn(async move { over.send(()) });
        let greedy = async {
            while is_over.try_recv().is_err() {
                yield_at_once().await;
            }
        };
        Beside::default().along(greedy).await;
    }

    /// Wakes itself at once, as what has used up its share of a turn does.
    async fn yield_at_once() {
        let mut has_yielded = false;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut has_yielded, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
