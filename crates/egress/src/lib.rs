//! Policy of what a guest may reach: rules as data, and the judgement of them.
//!
//! ```text
//! text of a rule ─► Rule ─┐
//!                         ├─► Layer (user) ──┐
//! --egress, --for ────────┘                  ├─► Policy ─► check(enforcer)      when it is set
//!                  Layer (repository) ───────┘      └────► judge(question, now) at each lookup and connection
//! ```
//!
//! Promises:
//! - A judgement is a pure function of the policy, the question and the time. Nothing is resolved, read or kept.
//! - Every layer must allow: a repository's layer can only narrow the user's. A policy without a layer allows nothing.
//! - A deny rule wins over every allow rule. An address is judged after resolution, in its innermost form.
//! - A rule that no enforcer could hold to is refused when it is set, with the cause and the way.
//!
//! It must not: do I/O, know a VM, or name a host of a package registry.

mod address;
mod check;
mod error;
mod judge;
mod layer;
mod name;
mod policy;
mod question;
mod rule;
mod sets;
mod verdict;

pub use address::{AddressClass, class, is_public};
pub use check::{Cause, Enforcer, Unenforceable};
pub use error::{PolicyError, RuleError};
pub use layer::{Egress, Grant, Layer, Origin};
pub use name::Name;
pub use policy::{POLICY_BYTES_MAX, POLICY_VERSION, Policy, RULES_MAX};
pub use question::{Destination, Question};
pub use rule::{PortRange, Ports, Protocol, Rule, Target};
pub use sets::{HostFiles, SetError, SetName, named_sets, read_set};
pub use verdict::{Denial, Grounds, Reason, Verdict};
