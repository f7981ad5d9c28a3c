//! Work beside its caller: threads of a pool in the daemon, turns of a schedule in a proof.

/// A piece of work.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs work beside its caller, and lets work wait for other work.
pub trait Spawn: Send + Sync {
    /// Runs `job` soon, beside the caller.
    fn spawn(&self, job: Job);

    /// Blocks until `ready` returns true; it is called again after each [`Spawn::wake`]. Returns earlier only when nothing
    /// can make it ready any more.
    fn wait(&self, ready: &mut dyn FnMut() -> bool);

    /// Makes every waiter call its `ready` again.
    fn wake(&self);
}
