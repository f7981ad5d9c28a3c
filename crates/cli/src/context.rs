//! What every command is given: how to speak, whom to call, and when to give up.

use std::cell::RefCell;
use std::rc::Rc;

use crate::endpoint::Endpoint;
use crate::failure::{Failure, host_error};
use crate::output::Output;
use crate::session::Session;
use crate::signals::Interrupts;

/// What every command is given.
#[derive(Debug)]
pub struct Context {
    /// How to speak.
    pub output: Rc<Output>,
    /// Whom to call.
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

    /// The interrupts that nobody has dealt with. The first call takes the signals over; until then they end the process.
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

    /// What was interrupted until now has ended by it: what comes next begins without.
    pub fn forget_interrupts(&self) {
        if let Some(interrupts) = &mut *self.interrupts.borrow_mut() {
            interrupts.forget_past();
        }
    }
}
