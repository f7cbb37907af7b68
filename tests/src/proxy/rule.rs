//! Which requests are broken, and how.

use std::sync::Mutex;
use std::time::Duration;

use dayfly_shared::rng::{Dice, StdDice};
use hyper::Method;

use super::{Asked, Gate, lock};

/// What is done to a request.
#[derive(Clone)]
pub enum Fault {
    /// Held before it reaches the server.
    Hold(Gate),
    /// Reaches the server; its answer is held.
    HoldAnswer(Gate),
    /// So many bytes of the answer's body pass; the rest is held.
    HoldDownload(usize, Gate),
    /// Reaches the server this much later.
    Delay(Duration),
    /// Never reaches the server; the connection breaks.
    Cut,
    /// The connection breaks after so many bytes of the request's body.
    CutUpload(usize),
    /// Goes through; the connection breaks instead of an answer.
    CutAnswer,
    /// The connection breaks after so many bytes of the answer's body.
    CutDownload(usize),
    /// Never reaches the server; answered with this status and S3 error code, such as 503 `SlowDown`.
    Answer(u16, String),
    /// Goes through; answered with this status and code nevertheless.
    AnswerAfter(u16, String),
}

impl Fault {
    /// 503: slow down.
    pub fn slow_down() -> Self {
        Fault::Answer(503, "SlowDown".to_owned())
    }

    /// What it is called where faults are counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Hold(_) => "held",
            Fault::HoldAnswer(_) => "answer held",
            Fault::HoldDownload(..) => "download held",
            Fault::Delay(_) => "delayed",
            Fault::Cut => "cut before",
            Fault::CutUpload(_) => "upload cut",
            Fault::CutAnswer => "answer cut",
            Fault::CutDownload(_) => "download cut",
            Fault::Answer(..) => "answered instead",
            Fault::AnswerAfter(..) => "answered wrongly",
        }
    }
}

type Test = Box<dyn Fn(&Asked) -> bool + Send + Sync>;
type Draw = Box<dyn Fn(&StdDice) -> Fault + Send + Sync>;

/// A kind of request, and what is done to it.
pub struct Rule {
    tests: Vec<Test>,
    fault: Option<Draw>,
    /// Whether it counts among the faults.
    pub(super) counted: bool,
    /// Of a thousand requests that match, so many meet the fault.
    per_mille: u64,
    /// How many more requests pass unharmed, and how many more meet the fault.
    skip_and_left: Mutex<(u32, Option<u32>)>,
}

impl Rule {
    /// Every request.
    pub fn any() -> Self {
        Self { tests: Vec::new(), fault: None, counted: true, per_mille: 1000, skip_and_left: Mutex::new((0, None)) }
    }

    /// Requests with this method.
    pub fn on(method: Method) -> Self {
        Self::any().and(move |asked| asked.method == method)
    }

    /// Of these, those that pass the test.
    #[must_use]
    pub fn and(mut self, test: impl Fn(&Asked) -> bool + Send + Sync + 'static) -> Self {
        self.tests.push(Box::new(test));
        self
    }

    /// Of these, those whose key ends so.
    #[must_use]
    pub fn key_ends(self, end: impl Into<String>) -> Self {
        let end = end.into();
        self.and(move |asked| asked.key.ends_with(&end))
    }

    /// Of these, those whose key holds this.
    #[must_use]
    pub fn key_has(self, part: impl Into<String>) -> Self {
        let part = part.into();
        self.and(move |asked| asked.key.contains(&part))
    }

    /// Of these, those whose query holds this.
    #[must_use]
    pub fn query_has(self, part: impl Into<String>) -> Self {
        let part = part.into();
        self.and(move |asked| asked.query.contains(&part))
    }

    /// Of a thousand of these, so many, drawn by the proxy's seed.
    #[must_use]
    pub fn per_mille(mut self, per_mille: u64) -> Self {
        self.per_mille = per_mille;
        self
    }

    /// It is no fault, but how things are in this test: it is not counted.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        self.counted = false;
        self
    }

    /// Not the first so many.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        lock(&self.skip_and_left).0 = skip;
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        lock(&self.skip_and_left).1 = Some(times);
        self
    }

    /// This is what is done to them.
    #[must_use]
    pub fn then(self, fault: Fault) -> Self {
        self.then_one_of(move |_| fault.clone())
    }

    /// What is done to each of them is drawn by the proxy's seed.
    #[must_use]
    pub fn then_one_of(mut self, draw: impl Fn(&StdDice) -> Fault + Send + Sync + 'static) -> Self {
        self.fault = Some(Box::new(draw));
        self
    }

    /// The fault that a request meets by this rule.
    pub(super) fn draw(&self, asked: &Asked, dice: &StdDice) -> Option<Fault> {
        if !self.tests.iter().all(|test| test(asked)) {
            return None;
        }
        if self.per_mille < 1000 && dice.below(1000) >= self.per_mille {
            return None;
        }
        let mut counts = lock(&self.skip_and_left);
        if counts.0 > 0 {
            counts.0 -= 1;
            return None;
        }
        match &mut counts.1 {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        self.fault.as_ref().map(|draw| draw(dice))
    }
}
