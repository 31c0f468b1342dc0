//! Faults that a test injects.
//!
//! A [`Fault`] names the requests it is for and what happens to them. Faults are tried in the
//! order in which they were injected; the first that fits a request is used up by it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::journal::Received;
use crate::sandbox::api::Api;
use crate::sandbox::wire::OpaRefusal;

/// An answer that is sent word for word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header fields, names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A refusal of OPA, with its status and its body.
    pub fn opa_refusal(refusal: OpaRefusal) -> Self {
        let (status, body) = refusal.answer();
        Self::status(status.as_u16()).json(&body)
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// This is answered, and nothing changes.
    Answer(Answer),
    /// The request has its effect, and this is answered.
    AnswerAfterEffect(Answer),
    /// The connection is reset, and nothing changes.
    CutBeforeEffect,
    /// The request has its effect, and then the connection is reset.
    CutAfterEffect,
    /// No answer comes, and nothing changes.
    StallBeforeEffect,
    /// The request has its effect, and no answer comes.
    StallAfterEffect,
    /// The answer is late.
    Delay(Duration),
    /// The answer breaks off after so many bytes of the body.
    Truncate(usize),
    /// A write is answered as if it had been done, and nothing changes.
    Pretend,
    /// The request has its effect, and the record of another account is answered.
    EchoAccount {
        /// The other account's `_id`.
        id: String,
    },
}

#[derive(Clone, Copy, Debug)]
enum Times {
    Left(u32),
    Always,
}

type Condition = Arc<dyn Fn(&Received) -> bool + Send + Sync>;

/// A fault: once, with every request to one directory, unless said otherwise.
#[derive(Clone)]
pub struct Fault {
    api: Api,
    method: Option<String>,
    path_prefix: Option<String>,
    condition: Option<Condition>,
    skip: u32,
    times: Times,
    does: FaultKind,
}

impl Fault {
    /// A fault of the OPA side.
    pub fn opa(does: FaultKind) -> Self {
        Self::of(Api::Opa, does)
    }

    /// A fault of the Opsera side.
    pub fn opsera(does: FaultKind) -> Self {
        Self::of(Api::Opsera, does)
    }

    fn of(api: Api, does: FaultKind) -> Self {
        Self {
            api,
            method: None,
            path_prefix: None,
            condition: None,
            skip: 0,
            times: Times::Left(1),
            does,
        }
    }

    /// Only for this method and for decoded paths below the directory's base that start so.
    pub fn on(mut self, method: &str, path_prefix: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path_prefix = Some(path_prefix.to_owned());
        self
    }

    /// Only for requests that satisfy `condition`.
    pub fn when(mut self, condition: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Lets the first `count` fitting requests pass.
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Happens `count` times instead of once.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Times::Left(count);
        self
    }

    /// Happens until the faults are cleared.
    pub fn always(mut self) -> Self {
        self.times = Times::Always;
        self
    }

    fn fits(&self, received: &Received) -> bool {
        self.api == received.api
            && self.method.as_ref().is_none_or(|m| *m == received.method)
            && (self.path_prefix.as_ref()).is_none_or(|p| received.path.starts_with(p.as_str()))
            && self.condition.as_ref().is_none_or(|holds| holds(received))
    }

    /// What happens to one more fitting request; `None` if this fault lets it pass.
    fn take(&mut self) -> Option<FaultKind> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        match &mut self.times {
            Times::Always => {}
            Times::Left(0) => return None,
            Times::Left(left) => *left -= 1,
        }
        Some(self.does.clone())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("api", &self.api)
            .field("method", &self.method)
            .field("path_prefix", &self.path_prefix)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("does", &self.does)
            .finish_non_exhaustive()
    }
}

/// The faults that have not happened yet.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Adds one after those that wait already.
    pub(in crate::sandbox) fn inject(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Forgets all of them.
    pub(in crate::sandbox) fn clear(&self) {
        self.lock().clear();
    }

    /// How many have not been used up.
    pub(in crate::sandbox) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// The fault that `received` uses up, if one fits it.
    pub(in crate::sandbox) fn next_for(&self, received: &Received) -> Option<FaultKind> {
        let mut faults = self.lock();
        let taken = faults
            .iter_mut()
            .filter(|fault| fault.fits(received))
            .find_map(Fault::take);
        faults.retain(|fault| !matches!(fault.times, Times::Left(0)));
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
