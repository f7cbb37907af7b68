//! A service that shows what was posted to it, and answers as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use dayfly_tests::listener::{Asked, Said, listen};

#[derive(Default)]
struct State {
    answers: VecDeque<Said>,
    asked: Vec<Asked>,
}

/// A running one.
pub struct Posts {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Posts {
    /// One that answers every post with 200 and nothing.
    pub fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let url = listen(move |asked| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.asked.push(asked.clone());
            state.answers.pop_front().unwrap_or_else(|| Said::new(200, ""))
        });
        Self { url, state }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The answer to the next post that has none yet.
    pub fn answer(&self, status: u16, body: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers.push_back(Said::new(status, body));
    }

    /// What was posted.
    pub fn posted(&self) -> Vec<Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}
