//! The user's terminal: its size, and raw mode that is always undone.
//!
//! Raw mode ends when its guard is dropped, when the program panics (before the message is printed), and on every
//! signal that we handle, because those make the holder return. Only SIGKILL and its like leave it behind.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, Once, PoisonError};

use banger_api::vm::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Size of a terminal that tells none.
const DEFAULT_SIZE: Terminal = Terminal { rows: 24, cols: 80 };

/// Settings of standard input's terminal before raw mode; the panic hook needs them as well.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Standard input's terminal in raw mode. Dropping it puts the terminal back as it was.
#[derive(Debug)]
pub struct RawMode {
    raw: Termios,
}

impl RawMode {
    /// Switches standard input's terminal to raw mode, or answers none where it is no terminal.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        HOOK.call_once(restore_before_panics_are_told);
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let guard = Self { raw };
        guard.again()?;
        Ok(Some(guard))
    }

    /// Switches to raw mode again: a shell that stopped and resumed this program has set its own mode.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn again(&self) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.raw)?)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // The terminal may be gone: then there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

fn restore_before_panics_are_told() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        told(panic);
    }));
}

/// The size of the terminal at standard output, error or input, whichever is one.
pub fn size() -> Terminal {
    let of = |size: rustix::io::Result<rustix::termios::Winsize>| {
        size.ok().filter(|size| size.ws_row > 0 && size.ws_col > 0)
    };
    of(tcgetwinsize(io::stdout()))
        .or_else(|| of(tcgetwinsize(io::stderr())))
        .or_else(|| of(tcgetwinsize(io::stdin())))
        .map_or(DEFAULT_SIZE, |size| Terminal {
            rows: size.ws_row,
            cols: size.ws_col,
        })
}

/// Number of columns the terminal at standard error has.
pub fn stderr_columns() -> usize {
    tcgetwinsize(io::stderr())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(usize::from(DEFAULT_SIZE.cols))
}

/// A person sits at standard input and output.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}
