//! Figures at hand for whoever looks at a page: made in the background, and shown as they were made last while they are
//! made anew. It knows what is to be made and when; what is made, and how, is handed in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shortbread_protocol::admin::FiguresAnswer;
use shortbread_protocol::clock::Timestamp;

use crate::report::Question;

/// How many questions are answered from here; the one that nobody looked at for longest gives way to another.
const MOST: usize = 16;
/// How many are made at once: whoever asks for a report of their own finds a turn too.
const MAKING: usize = 1;
/// How old an answer may be when somebody looks before it is made anew.
const FRESH: Duration = Duration::from_secs(15);
/// It may be so many times as old as it took to make it, so that a long log is not read all the time.
const TIMES: u32 = 4;
/// How long after an attempt that failed the next one begins.
const PAUSE: Duration = Duration::from_secs(5);

/// What there is for a question.
#[derive(Clone, Debug)]
pub enum Looked {
    /// The figures.
    Ready {
        /// As they were made last.
        answer: Arc<FiguresAnswer>,
        /// When that was.
        made: Timestamp,
        /// Why they could not be made anew since, if they could not.
        failed: Option<Arc<str>>,
    },
    /// Nothing yet: they are being made. Look again in two seconds.
    Making,
    /// Nothing, for they could not be made: why, in words. It is tried again.
    Failed(Arc<str>),
}

/// Answers to the questions that were looked at last.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<Mutex<Slots>>);

#[derive(Debug, Default)]
struct Slots {
    by_question: BTreeMap<Question, Slot>,
    // Tells one making from the next, for a slot may have given way meanwhile.
    turns: u64,
}

#[derive(Debug)]
struct Slot {
    made: Option<Made>,
    failed: Option<(Arc<str>, Duration)>,
    making: Option<u64>,
    looked: Duration,
}

#[derive(Debug)]
struct Made {
    answer: Arc<FiguresAnswer>,
    at: Timestamp,
    finished: Duration,
    took: Duration,
}

/// The turn to make an answer. Dropped without a word, the making broke off.
#[derive(Debug)]
#[must_use = "nobody else makes the answer meanwhile"]
pub struct Turn {
    slots: Arc<Mutex<Slots>>,
    question: Question,
    number: u64,
    begun: Duration,
}

impl Signals {
    /// What there is for a question, at this moment of the monotonic clock; and a turn, where the caller is to have the
    /// answer made.
    pub fn look(&self, question: &Question, now: Duration) -> (Looked, Option<Turn>) {
        let mut slots = lock(&self.0);
        if !slots.make_room(question) {
            return (Looked::Making, None);
        }
        let busy = slots.by_question.values().filter(|slot| slot.making.is_some()).count() >= MAKING;
        let number = slots.turns + 1;
        let slot = slots.by_question.entry(question.clone()).or_insert_with(|| Slot::new(now));
        slot.looked = now;
        let looked = slot.looked();
        if busy || !slot.is_due(now) {
            return (looked, None);
        }
        slot.making = Some(number);
        slots.turns = number;
        let turn = Turn { slots: Arc::clone(&self.0), question: question.clone(), number, begun: now };
        (looked, Some(turn))
    }
}

impl Turn {
    /// Which question is to be answered.
    #[must_use]
    pub const fn question(&self) -> &Question {
        &self.question
    }

    /// The answer that was made, or why none could be; `at` is the wall clock and `now` the monotonic one.
    pub fn done(self, made: Result<FiguresAnswer, String>, at: Timestamp, now: Duration) {
        let took = now.saturating_sub(self.begun);
        self.end(|slot| match made {
            Ok(answer) => {
                slot.made = Some(Made { answer: Arc::new(answer), at, finished: now, took });
                slot.failed = None;
            }
            Err(why) => slot.failed = Some((why.into(), now)),
        });
    }

    /// Others were in the way: it is tried when somebody looks next.
    pub fn put_off(self) {
        self.end(|_| {});
    }

    fn end(&self, then: impl FnOnce(&mut Slot)) {
        let mut slots = lock(&self.slots);
        let slot = slots.by_question.get_mut(&self.question);
        if let Some(slot) = slot.filter(|slot| slot.making == Some(self.number)) {
            slot.making = None;
            then(slot);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end(|slot| slot.failed = Some(("the counting broke off".into(), self.begun)));
    }
}

impl Slots {
    /// Whether there is a place for the question, if need be that of the one that nobody looked at for longest.
    fn make_room(&mut self, question: &Question) -> bool {
        if self.by_question.contains_key(question) || self.by_question.len() < MOST {
            return true;
        }
        let idle = self.by_question.iter().filter(|(_, slot)| slot.making.is_none());
        let oldest = idle.min_by_key(|(_, slot)| slot.looked).map(|(question, _)| question.clone());
        oldest.is_some_and(|oldest| self.by_question.remove(&oldest).is_some())
    }
}

impl Slot {
    const fn new(now: Duration) -> Self {
        Self { made: None, failed: None, making: None, looked: now }
    }

    fn looked(&self) -> Looked {
        let failed = self.failed.as_ref().map(|(why, _)| Arc::clone(why));
        match (&self.made, failed) {
            (Some(made), failed) => Looked::Ready { answer: Arc::clone(&made.answer), made: made.at, failed },
            (None, Some(why)) => Looked::Failed(why),
            (None, None) => Looked::Making,
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        let rests = self.failed.as_ref().is_some_and(|(_, at)| now.saturating_sub(*at) < PAUSE);
        let old = self.made.as_ref().is_none_or(|made| {
            now.saturating_sub(made.finished) > FRESH.max(made.took.saturating_mul(TIMES))
        });
        self.making.is_none() && old && !rests
    }
}

fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    const UNTIL: u64 = 1_795_176_000;

    fn question(only: &str) -> Question {
        Question::new("segments", 86_400, Some("tool"), Some(only)).unwrap()
    }

    fn answer() -> FiguresAnswer {
        Figures::new(question("").ask(UNTIL)).finish(None)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn finish(turn: Turn, seconds: u64) {
        turn.done(Ok(answer()), Timestamp::from_seconds(UNTIL + seconds), at(seconds));
    }

    #[test]
    fn the_last_answer_is_shown_while_the_next_is_made() {
        let (signals, one) = (Signals::default(), question("tool=github"));
        let (looked, turn) = signals.look(&one, at(0));
        assert!(matches!(looked, Looked::Making));
        let (looked, again) = signals.look(&one, at(1));
        assert!(matches!(looked, Looked::Making) && again.is_none(), "it is made once");
        finish(turn.unwrap(), 2);
        let (looked, turn) = signals.look(&one, at(17));
        assert!(matches!(looked, Looked::Ready { made, .. } if made.seconds() == UNTIL + 2));
        assert!(turn.is_none(), "it is fresh enough");
        let (looked, turn) = signals.look(&one, at(18));
        assert!(matches!(looked, Looked::Ready { .. }));
        finish(turn.unwrap(), 28);
        let (looked, turn) = signals.look(&one, at(28 + 39));
        assert!(matches!(looked, Looked::Ready { made, .. } if made.seconds() == UNTIL + 28));
        assert!(turn.is_none(), "what takes ten seconds is not made every fifteen");
        assert!(signals.look(&one, at(28 + 41)).1.is_some());
    }

    #[test]
    fn an_attempt_that_failed_is_told_and_made_again() {
        let (signals, one) = (Signals::default(), question(""));
        let turn = signals.look(&one, at(0)).1.unwrap();
        turn.done(Err("the disk is full".to_owned()), Timestamp::from_seconds(UNTIL), at(1));
        let (looked, turn) = signals.look(&one, at(2));
        assert!(matches!(looked, Looked::Failed(why) if &*why == "the disk is full") && turn.is_none());
        finish(signals.look(&one, at(6)).1.unwrap(), 7);
        let turn = signals.look(&one, at(30)).1.unwrap();
        drop(turn);
        let (looked, turn) = signals.look(&one, at(36));
        assert!(matches!(looked, Looked::Ready { failed: Some(_), .. }), "it is shown with why it is old");
        turn.unwrap().put_off();
        assert!(signals.look(&one, at(37)).1.is_some(), "whoever gave way is next");
    }

    #[test]
    fn so_many_questions_have_a_place() {
        let signals = Signals::default();
        let questions: Vec<Question> = (0..=MOST).map(|n| question(&format!("tool=t{n}"))).collect();
        let held = signals.look(&questions[0], at(0)).1.unwrap();
        for (n, question) in questions.iter().enumerate().skip(1) {
            let turn = signals.look(question, at(n as u64)).1;
            assert!(turn.is_none(), "one is made at a time");
        }
        assert_eq!(lock(&signals.0).by_question.len(), MOST);
        assert!(lock(&signals.0).by_question.contains_key(&questions[0]), "what is made keeps its place");
        finish(held, 20);
        assert!(matches!(signals.look(&questions[0], at(21)).0, Looked::Ready { .. }));
        assert!(!lock(&signals.0).by_question.contains_key(&questions[1]));
    }
}
