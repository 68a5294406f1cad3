//! A decision is taken within the request that began it, and does not end with it.
//!
//! No turn of the runtime stands between the last reply and the answer. What is left of a decision when its request has
//! its answer, or is dropped, goes on as a task. What is decided, and who else waits for it, is not known here.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::sync::oneshot;

type Decision = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is `told` on the way of `decision`, as soon as it is; `None` if that ends without. A panic in it is its end.
pub(super) async fn first_told<T>(
    decision: impl Future<Output = ()> + Send + 'static,
    mut told: oneshot::Receiver<T>,
) -> Option<T> {
    let (on, goes_on) = oneshot::channel::<Decision>();
    // Begun while there is time: to wake it later takes less than to begin it.
    tokio::spawn(async move {
        if let Ok(rest) = goes_on.await {
            rest.await;
        }
    });
    let decision: Decision = Box::pin(AssertUnwindSafe(decision).catch_unwind().map(drop));
    let mut decision = Detaching { decision: Some(decision), on: Some(on) };
    poll_fn(|cx| {
        let ended = decision.poll(cx);
        match told.try_recv() {
            Ok(first) => Poll::Ready(Some(first)),
            Err(_) => ended.map(|()| None),
        }
    })
    .await
}

/// A decision that is taken here, and goes on elsewhere when this is dropped before its end.
struct Detaching {
    decision: Option<Decision>,
    on: Option<oneshot::Sender<Decision>>,
}

impl Detaching {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(decision) = &mut self.decision else { return Poll::Ready(()) };
        let polled = decision.as_mut().poll(cx);
        if polled.is_ready() {
            self.decision = None;
        }
        polled
    }
}

impl Drop for Detaching {
    fn drop(&mut self) {
        if let (Some(rest), Some(on)) = (self.decision.take(), self.on.take()) {
            // Nobody takes it only when the runtime is gone, and everything with it.
            let _ = on.send(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn who_asked_goes_on_when_it_is_told_and_the_decision_after_it() {
        let (tell, told) = oneshot::channel();
        let (over, mut is_over) = oneshot::channel();
        let decision = async move {
            tell.send("answer").expect("somebody listens");
            yield_now().await;
            over.send("recorded").expect("the test listens");
        };
        assert_eq!(first_told(decision, told).await, Some("answer"));
        assert!(is_over.try_recv().is_err(), "the answer waited for the rest");
        assert_eq!(is_over.await, Ok("recorded"));
    }

    #[tokio::test]
    async fn a_decision_goes_on_when_nobody_asks_any_more() {
        let (tell, told) = oneshot::channel::<()>();
        let (reply, replied) = oneshot::channel();
        let (over, is_over) = oneshot::channel();
        let decision = async move {
            let replied = replied.await.expect("a reply");
            over.send((replied, tell.is_closed())).expect("the test listens");
        };
        let asked = first_told(decision, told);
        assert_eq!(asked.now_or_never(), None, "no reply came");
        reply.send("bid").expect("the decision waits");
        assert_eq!(is_over.await, Ok(("bid", true)));
    }

    #[tokio::test]
    async fn a_decision_that_comes_to_nothing_tells_so() {
        let (tell, told) = oneshot::channel::<()>();
        assert_eq!(first_told(async move { drop(tell) }, told).await, None);
        let (tell, told) = oneshot::channel::<()>();
        let panics = async move {
            let _tell = tell;
            panic!("a bug");
        };
        assert_eq!(first_told(panics, told).await, None);
    }
}
