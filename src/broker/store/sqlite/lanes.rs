//! What waits for the writer, in two lanes: the switch goes first, and exchanges never wait for ever.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::unit::{Failure, Unit};
use crate::store::StoreError;

/// How many operations may wait in a lane before the next caller waits to be queued.
const ROOM: usize = 1024;

/// The most operations in one transaction.
const GROUP: usize = 256;

/// The most of the usual lane in one transaction while the first lane waits: what it gets in between, however much is
/// revoked.
const SHARE: usize = 32;

/// After so many transactions of the first lane the usual one has its share.
const TURNS: u32 = 4;

/// Which operations an operation waits behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Revocations, heads and what an operator needs to press the switch.
    First,
    /// Everything else.
    Usual,
}

/// An operation on its way through the writer.
pub(super) trait Job: Send {
    /// Runs it inside a transaction, or tells it why there is none. A job of the first lane may run again, when the
    /// transaction did not hold and there is room for another.
    fn run(&mut self, unit: Result<&mut Unit<'_>, StoreError>);

    /// Tells the caller: the operation's own result when the transaction holds, else the fault.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

/// An operation and who waits for it.
pub(super) struct Task<T, E, F> {
    work: F,
    result: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Task<T, E, F> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work, result: None, caller }, answer)
    }
}

impl<T, E, F> Job for Task<T, E, F>
where
    F: FnMut(&mut Unit<'_>) -> Result<T, Failure<E>> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, unit: Result<&mut Unit<'_>, StoreError>) {
        self.result = None;
        self.result = Some(match unit {
            Ok(unit) => unit.isolated(|unit| (self.work)(unit)),
            Err(error) => Err(error.into()),
        });
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let result = failed.map(|error| Err(error.into())).or(self.result);
        // A caller that went away has left its record behind; that is what the audit log is for. Without a result the
        // operation broke off, which a caller sees by itself.
        if let Some(result) = result {
            let _ = self.caller.send(result);
        }
    }
}

/// Operations of one lane that go into one transaction.
pub(super) struct Group {
    pub(super) lane: Lane,
    pub(super) jobs: Vec<Box<dyn Job>>,
}

/// The writer has ended.
#[derive(Debug)]
pub(super) struct Ended;

struct Queued {
    job: Box<dyn Job>,
    // Given back when the job leaves the lane.
    _place: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Waiting {
    first: VecDeque<Queued>,
    usual: VecDeque<Queued>,
    // How many groups of the first lane went while the usual one waited.
    passed: u32,
    // Nothing more will come.
    closed: bool,
    // Nobody takes anything any more.
    ended: bool,
}

/// Both lanes. A full one makes nobody of the other wait.
pub(super) struct Lanes {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    first: Arc<Semaphore>,
    usual: Arc<Semaphore>,
}

impl Lanes {
    pub(super) fn new() -> Arc<Self> {
        let room = || Arc::new(Semaphore::new(ROOM));
        Arc::new(Self { waiting: Mutex::default(), ready: Condvar::new(), first: room(), usual: room() })
    }

    /// Queues an operation, once there is room in its lane.
    pub(super) async fn send(&self, lane: Lane, job: Box<dyn Job>) -> Result<(), Ended> {
        let room = match lane {
            Lane::First => &self.first,
            Lane::Usual => &self.usual,
        };
        let place = Arc::clone(room).acquire_owned().await.map_err(|_| Ended)?;
        let mut waiting = self.waiting();
        if waiting.ended {
            return Err(Ended);
        }
        waiting.queue(lane).push_back(Queued { job, _place: place });
        drop(waiting);
        self.ready.notify_one();
        Ok(())
    }

    /// The operations of the next transaction; waits for some. Nothing when the lanes are closed and empty.
    pub(super) fn next(&self) -> Option<Group> {
        let mut waiting = self.waiting();
        loop {
            if let Some(group) = waiting.group() {
                return Some(group);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.ready.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets what is queued be the last.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.ready.notify_all();
    }

    /// Whether nobody works here any more.
    pub(super) fn is_ended(&self) -> bool {
        self.waiting().ended
    }

    /// Lets go of everyone who waits; for the end of the writer, whatever ended it.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.ended = true;
        let left = (std::mem::take(&mut waiting.first), std::mem::take(&mut waiting.usual));
        drop(waiting);
        self.first.close();
        self.usual.close();
        drop(left);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Queued> {
        match lane {
            Lane::First => &mut self.first,
            Lane::Usual => &mut self.usual,
        }
    }

    fn group(&mut self) -> Option<Group> {
        let lane = match (self.first.is_empty(), self.usual.is_empty()) {
            (true, true) => return None,
            (true, false) => Lane::Usual,
            (false, false) if self.passed >= TURNS => Lane::Usual,
            (false, _) => Lane::First,
        };
        let most = if lane == Lane::Usual && !self.first.is_empty() { SHARE } else { GROUP };
        self.passed = if lane == Lane::First && !self.usual.is_empty() { self.passed + 1 } else { 0 };
        let queue = self.queue(lane);
        let most = most.min(queue.len());
        Some(Group { lane, jobs: queue.drain(..most).map(|queued| queued.job).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Job for Nothing {
        fn run(&mut self, _: Result<&mut Unit<'_>, StoreError>) {}
        fn answer(self: Box<Self>, _: Option<StoreError>) {}
    }

    async fn queue(lanes: &Lanes, lane: Lane, count: usize) {
        for _ in 0..count {
            lanes.send(lane, Box::new(Nothing)).await.unwrap();
        }
    }

    fn next(lanes: &Lanes) -> (Lane, usize) {
        let group = lanes.next().unwrap();
        (group.lane, group.jobs.len())
    }

    #[tokio::test]
    async fn the_first_lane_goes_first_and_the_usual_one_has_its_share() {
        let lanes = Lanes::new();
        queue(&lanes, Lane::Usual, 600).await;
        for _ in 0..2 {
            queue(&lanes, Lane::First, 1000).await;
            for count in [256, 256, 256, 232] {
                assert_eq!(next(&lanes), (Lane::First, count));
            }
            queue(&lanes, Lane::First, 300).await;
            assert_eq!(next(&lanes), (Lane::Usual, 32));
            assert_eq!([next(&lanes), next(&lanes)], [(Lane::First, 256), (Lane::First, 44)]);
            assert_eq!(next(&lanes), (Lane::Usual, 256));
            queue(&lanes, Lane::Usual, 288).await;
        }
        assert_eq!([next(&lanes), next(&lanes), next(&lanes)].map(|(_, count)| count), [256, 256, 88]);
        lanes.close();
        assert!(lanes.next().is_none());
    }

    #[tokio::test]
    async fn a_full_lane_holds_up_its_own_alone() {
        let lanes = Lanes::new();
        queue(&lanes, Lane::Usual, ROOM).await;
        let more = lanes.send(Lane::Usual, Box::new(Nothing));
        let mut more = std::pin::pin!(more);
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(more.as_mut().poll(cx).is_pending()));
        assert!(waits.await, "the lane is full");
        queue(&lanes, Lane::First, 1).await;
        assert_eq!(next(&lanes), (Lane::First, 1));
        assert_eq!(next(&lanes).0, Lane::Usual);
        more.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_waits_is_let_go_at_the_end() {
        let lanes = Lanes::new();
        let (task, answer) = Task::<(), StoreError, _>::new(|_: &mut Unit<'_>| Ok(()));
        lanes.send(Lane::Usual, Box::new(task)).await.unwrap();
        lanes.end();
        assert!(answer.await.is_err() && lanes.is_ended());
        assert!(lanes.send(Lane::First, Box::new(Nothing)).await.is_err());
    }
}
