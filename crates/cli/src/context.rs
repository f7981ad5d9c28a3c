//! Context of every command: its output, its daemon, and its interrupts.

use std::cell::RefCell;
use std::rc::Rc;

use crate::endpoint::Endpoint;
use crate::failure::{Failure, host_error};
use crate::output::Output;
use crate::session::Session;
use crate::signals::Interrupts;

/// Context of every command.
#[derive(Debug)]
pub struct Context {
    /// Output of the command.
    pub output: Rc<Output>,
    /// Session with the daemon.
    pub session: Session,
    interrupts: RefCell<Option<Interrupts>>,
}

impl Context {
    /// Nothing is opened, started or taken over yet.
    pub fn new(output: Output, endpoint: Endpoint) -> Self {
        let output = Rc::new(output);
        Self {
            session: Session::new(endpoint, output.clone()),
            output,
            interrupts: RefCell::new(None),
        }
    }

    /// The interrupts that nobody has dealt with. The first call takes the signals over; until then they end the
    /// process.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn interrupts(&self) -> Result<Interrupts, Failure> {
        if let Some(interrupts) = &*self.interrupts.borrow() {
            return Ok(interrupts.clone());
        }
        let interrupts = Interrupts::install()
            .map_err(|source| host_error("cannot install signal handlers", &source))?;
        *self.interrupts.borrow_mut() = Some(interrupts.clone());
        Ok(interrupts)
    }

    /// Forgets the interrupts until now: they have ended what they were for.
    pub fn forget_interrupts(&self) {
        if let Some(interrupts) = &mut *self.interrupts.borrow_mut() {
            interrupts.forget_past();
        }
    }
}
